#include "agent/jobs/secrets.hpp"

#include <nlohmann/json.hpp>
#include <set>

#include "agent/wire/secrets.hpp"
#include "runtime/base/json.hpp"
#include "runtime/os/file.hpp"

namespace berth::jobs {
namespace {

using async::Task;

constexpr std::size_t kRequestsAtOnce = 500;
constexpr const char* kRegistries = "registry_credentials";

[[noreturn]] void refuse_lost() {
  throw Error(Code::not_found, "what the job brought along as secret is not here any more", "submit it again");
}

}  // namespace

Secrets::Secrets(secrets::KeyPlace key, store::Store& store, Masks& masks, async::Pool& pool)
    : box_(std::move(key), store.anything_sealed()), store_(store), masks_(masks), pool_(pool) {}

Task<> Secrets::close(std::vector<store::NewJob>& jobs, const SubmittedSecrets& secrets) {
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

Task<model::JobSecrets> Secrets::of(const model::Job& job) {
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

Task<Masks::Values> Secrets::values_of(store::Sequence job, model::Principal reader) {
  Masks::Values values;
  const auto whole = co_await store_.read(job);
  if (!whole || !model::has_secrets(whole->request)) co_return values;
  const auto sealed = co_await store_.read_sealed(job);
  if (!sealed && whole->request.secrets_mark.empty()) co_return values;
  if (!sealed) refuse_lost();
  auto open = [&](const std::stop_token&) {
    values = model::values_to_mask(box_.open(whole->request.submission_id, *sealed));
  };
  co_await async::offload(masks_.lanes(), reader.limit_key(), open);
  co_return values;
}

Task<Masks::Values> Secrets::values_of(Digest environment, model::Principal reader) {
  std::set<std::string> all;
  std::size_t bytes = 0;
  // Who has no jobs here has brought nothing along: from such a reader all that anybody has is hidden.
  const auto account = reader.account();
  const store::Viewer viewer{account.value_or(0), !account || reader.has(model::Role::administrator)};
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
    co_await async::offload(masks_.lanes(), reader.limit_key(), open);
    if (bytes > model::kMostMasked) break;  // it is refused for that
  }
  co_return Masks::Values{all.begin(), all.end()};
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
  auto secrets = wire::take_secrets(request, wire::Origin::stored);
  if (!registries.is_null()) {
    request[kRegistries] = std::move(registries);
    const auto file = os::join(registries_directory, request.value("submission_id", ""));
    if (const auto text = os::read_file_if_exists(file))
      secrets.registries = wire::registry_credentials_from(read_json(*text));
  }
  if (secrets.empty()) return std::nullopt;
  return secrets;
}

}  // namespace

Task<> Secrets::set_old_apart(std::string old_credentials) {
  if (store_.secrets_apart()) co_return;
  store::Sequence last;
  for (;;) {
    const auto requests = store_.requests_after(last, kRequestsAtOnce);
    if (requests.empty()) break;
    last = requests.back().sequence;
    std::vector<std::pair<store::StoredRequest, std::string>> changed;
    auto take = [&] {
      for (const auto& stored : requests) {
        auto request = json_or_null(stored.json);
        const auto secrets = take_from(request, old_credentials);
        if (!secrets) continue;
        auto closed = box_.close(request.value("submission_id", ""), *secrets);
        request["secrets_mark"] = std::move(closed.mark);
        changed.emplace_back(store::StoredRequest{stored.sequence, request.dump()}, std::move(closed.sealed));
      }
    };
    co_await async::offload(pool_, take);
    if (!changed.empty()) co_await store_.set_apart(std::move(changed));
  }
  auto remove = [&] { os::remove_tree(old_credentials); };
  co_await async::offload(pool_, remove);
  co_await store_.set_secrets_apart();
}

}  // namespace berth::jobs
