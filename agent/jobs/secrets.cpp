// What jobs bring along as secret: stored sealed with their record, opened for as long as they are prepared and started,
// gone with the record.

#include <filesystem>
#include <nlohmann/json.hpp>

#include "agent/jobs/jobs.hpp"
#include "agent/jobs/secret_masks.hpp"
#include "runtime/os/file.hpp"

namespace berth::jobs {
namespace {

constexpr std::size_t kRequestsAtOnce = 500;
constexpr const char* kRegistries = "registry_credentials";

}  // namespace

// A repeated submission with the same secrets is the same request by its mark.
Task<> Jobs::close_secrets(std::vector<store::NewJob>& jobs, const SubmittedSecrets& secrets) {
  auto close = [&] {
    for (std::size_t i = 0; i < jobs.size() && i < secrets.size(); ++i) {
      if (secrets[i].empty()) continue;
      auto closed = box_.close(jobs[i].request.submission_id, secrets[i]);
      jobs[i].sealed = std::move(closed.sealed);
      jobs[i].request.secrets_mark = std::move(closed.mark);
    }
  };
  co_await async::offload(pool_, close);
}

Task<model::JobSecrets> Jobs::secrets_of(const model::Job& job) {
  model::JobSecrets secrets;
  if (!model::has_secrets(job.request)) co_return secrets;
  const auto sealed = store_.sealed(job.sequence);
  if (!sealed && job.request.secrets_mark.empty()) co_return secrets;  // an earlier version has removed them
  if (!sealed)
    throw Error(Code::not_found, "what the job brought along as secret is not here any more", "submit it again");
  const auto submission_id = job.request.submission_id;
  auto open = [&] { secrets = box_.open(submission_id, *sealed); };
  co_await async::offload(pool_, open);
  co_return secrets;
}

Task<std::shared_ptr<const logs::Mask>> Jobs::mask_of(Sequence job) {
  if (!store_.sealed(job)) co_return nullptr;
  const auto whole = co_await store_.read(job);
  if (!whole || !model::has_secrets(whole->request)) co_return nullptr;
  const auto secrets = co_await secrets_of(*whole);
  std::shared_ptr<const logs::Mask> mask;
  auto make = [&] { mask = std::make_shared<const logs::Mask>(jobs::mask_of(secrets)); };
  co_await async::offload(pool_, make);
  if (mask->empty()) co_return nullptr;
  co_return mask;
}

Task<std::shared_ptr<const logs::Mask>> Jobs::mask_of(Digest environment) {
  std::vector<model::JobSecrets> all;
  const auto ids = co_await store_.jobs_in(environment);
  for (const auto& id : ids) {
    const auto job = co_await store_.read(id);
    if (!job || !model::has_secrets(job->request)) continue;
    auto secrets = co_await secrets_of(*job);
    if (!secrets.empty()) all.push_back(std::move(secrets));
  }
  if (all.empty()) co_return nullptr;
  std::shared_ptr<const logs::Mask> mask;
  auto make = [&] { mask = std::make_shared<const logs::Mask>(jobs::mask_of(all)); };
  co_await async::offload(pool_, make);
  co_return mask;
}

namespace {

// Of a request as an earlier version stored it; nothing where none of it is secret.
std::optional<model::JobSecrets> take_from(nlohmann::json& request, const std::string& registries_directory) {
  if (!request.is_object() || request.contains("secrets_mark")) return std::nullopt;
  nlohmann::json registries;
  if (const auto found = request.find(kRegistries); found != request.end()) {
    registries = std::move(*found);
    request.erase(found);
  }
  auto secrets = model::take_secrets(request);
  if (!registries.is_null()) {
    request[kRegistries] = std::move(registries);
    const auto file = os::join(registries_directory, request.value("submission_id", ""));
    if (const auto text = os::read_file_if_exists(file))
      secrets.registries = model::registry_credentials_from_json(nlohmann::json::parse(*text));
  }
  if (secrets.empty()) return std::nullopt;
  return secrets;
}

}  // namespace

// Once, after an upgrade from a version that stored them within requests, and credentials for registries in files.
Task<> Jobs::set_old_secrets_apart() {
  if (store_.secrets_apart()) co_return;
  Sequence last = 0;
  for (;;) {
    const auto requests = store_.requests_after(last, kRequestsAtOnce);
    if (requests.empty()) break;
    last = requests.back().sequence;
    std::vector<std::pair<store::StoredRequest, std::string>> changed;
    auto take = [&] {
      for (const auto& stored : requests) {
        auto request = nlohmann::json::parse(stored.json, nullptr, false);
        const auto secrets = take_from(request, settings_.old_credentials);
        if (!secrets) continue;
        auto closed = box_.close(request.value("submission_id", ""), *secrets);
        request["secrets_mark"] = std::move(closed.mark);
        changed.emplace_back(store::StoredRequest{stored.sequence, request.dump()}, std::move(closed.sealed));
      }
    };
    co_await async::offload(pool_, take);
    if (!changed.empty()) co_await store_.set_apart(std::move(changed));
  }
  auto remove = [&] { os::remove_tree(settings_.old_credentials); };
  co_await async::offload(pool_, remove);
  co_await store_.set_secrets_apart();
}

}  // namespace berth::jobs
