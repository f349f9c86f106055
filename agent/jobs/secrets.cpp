// What jobs bring along as secret: stored sealed with their record, opened for as long as they are prepared and
// started, gone with the record.

#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>

#include "agent/jobs/jobs.hpp"
#include "runtime/base/json.hpp"
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

namespace {

[[noreturn]] void refuse_lost() {
  throw Error(Code::not_found, "what the job brought along as secret is not here any more", "submit it again");
}

}  // namespace

Task<model::JobSecrets> Jobs::secrets_of(const model::Job& job) {
  model::JobSecrets secrets;
  if (!model::has_secrets(job.request)) co_return secrets;
  const auto sealed = store_.sealed(job.sequence);
  if (!sealed && job.request.secrets_mark.empty()) co_return secrets;  // an earlier version has removed them
  if (!sealed) refuse_lost();
  const auto submission_id = job.request.submission_id;
  auto open = [&] { secrets = box_.open(submission_id, *sealed); };
  co_await async::offload(pool_, open);
  co_return secrets;
}

// As much as that may be, it is read and opened in a lane of who wants to know.
Task<Masks::Values> Jobs::values_of(Sequence job, uid_t reader) {
  Masks::Values values;
  const auto whole = co_await store_.read(job);
  if (!whole || !model::has_secrets(whole->request)) co_return values;
  const auto sealed = co_await store_.read_sealed(job);
  if (!sealed && whole->request.secrets_mark.empty()) co_return values;
  if (!sealed) refuse_lost();
  auto open = [&](const std::stop_token&) {
    values = model::values_to_mask(box_.open(whole->request.submission_id, *sealed));
  };
  co_await async::offload(masks_.lanes(), reader, open);
  co_return values;
}

Task<Masks::Values> Jobs::values_of(Digest environment, uid_t reader) {
  std::set<std::string> all;
  std::size_t bytes = 0;
  const store::Viewer viewer{reader, reader == 0};
  const auto jobs = co_await store_.jobs_in(environment, viewer);
  for (const auto job : jobs) {
    const auto whole = co_await store_.read(job);
    if (!whole || !model::has_secrets(whole->request)) continue;
    const auto sealed = co_await store_.read_sealed(job);
    if (!sealed && whole->request.secrets_mark.empty()) continue;
    if (!sealed) refuse_lost();
    auto open = [&](const std::stop_token&) {
      auto secrets = model::given_to_builds(box_.open(whole->request.submission_id, *sealed));
      for (auto& value : model::values_to_mask(secrets)) {
        const auto length = value.size();
        if (all.insert(std::move(value)).second) bytes += length;
      }
    };
    co_await async::offload(masks_.lanes(), reader, open);
    if (bytes > model::kMostMasked) break;  // it is refused for that
  }
  co_return Masks::Values{all.begin(), all.end()};
}

Task<Masks::Kept> Jobs::mask_of(Sequence job, uid_t reader) {
  return masks_.of(job, reader, [this, job, reader] { return values_of(job, reader); });
}

Task<Masks::Kept> Jobs::mask_of(Digest environment, uid_t reader) {
  auto values = co_await values_of(environment, reader);
  co_return co_await masks_.make(std::move(values), reader);
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
  auto secrets = model::take_secrets(request, model::Origin::stored);
  if (!registries.is_null()) {
    request[kRegistries] = std::move(registries);
    const auto file = os::join(registries_directory, request.value("submission_id", ""));
    if (const auto text = os::read_file_if_exists(file))
      secrets.registries = model::registry_credentials_from_json(read_json(*text));
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
        auto request = json_or_null(stored.json);
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
