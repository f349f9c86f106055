// What jobs bring along to be let in by a registry: kept from their submission until they are prepared.

#include <set>

#include "agent/jobs/jobs.hpp"

namespace berth::jobs {

// Before the record, so that no job is on record without them; those of a submission that comes to nothing, or is one
// that is known, go again.
Task<std::vector<store::Submitted>> Jobs::submit_with(std::vector<store::NewJob> jobs,
                                                      SubmittedCredentials credentials) {
  std::set<std::string> kept;
  auto keep = [&] {
    for (const auto& [id, own] : credentials)
      if (secrets_.keep(id, own)) kept.insert(id);
  };
  auto saving = [&]() -> Task<std::vector<store::Submitted>> {
    co_await async::offload(pool_, keep);
    co_return co_await store_.submit(std::move(jobs));
  };
  auto result = co_await async::attempt(saving());
  if (result)
    for (const auto& [job, existed] : *result)
      if (!existed) kept.erase(job.request.submission_id);
  for (const auto& id : kept) secrets_.remove(id);
  if (!result) throw result.error();
  co_return std::move(*result);
}

void Jobs::forget_credentials(const model::JobRequest& request) {
  if (!request.container.registries.empty()) secrets_.remove(request.submission_id);
}

void Jobs::sweep_credentials() {
  auto left = secrets_.list();
  if (left.empty()) return;
  std::set<std::string> needed;
  for (const auto& [sequence, job] : live_)
    if (job.state == model::State::preparing) needed.insert(record(sequence).request.submission_id);
  for (const auto& id : left)
    if (!needed.contains(id)) secrets_.remove(id);
}

}  // namespace berth::jobs
