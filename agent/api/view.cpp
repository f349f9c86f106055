#include "agent/api/view.hpp"

#include <nlohmann/json.hpp>

#include "agent/wire/event.hpp"
#include "agent/wire/job.hpp"
#include "runtime/base/json_fields.hpp"

namespace berth::api {
namespace {

using nlohmann::json;
using Sight = Access::Sight;

// Why it waits; "" when it does not. What is being made for a job, or what it lacks of that, is its owner's business.
std::string why_waiting(Sight sight, const jobs::Jobs& jobs, const model::Job& job) {
  const auto waiting = jobs.why_waiting(job.sequence);
  if (!waiting) return {};
  const auto reason = jobs.queue().why(job.sequence, std::chrono::steady_clock::now()).reason;
  const bool told =
      sight != Sight::outline || (job.state != model::State::preparing && reason != queue::Waiting::Reason::preparing);
  return told ? *waiting : "is being prepared";
}

}  // namespace

json shown_to(const model::Principal& who, const Access& access, const jobs::Jobs& jobs, model::Job job) {
  const auto sight = access.sight(who, job);
  auto waiting = why_waiting(sight, jobs, job);
  if (sight == Sight::outline) {
    auto outline = wire::outline_of(std::move(job), wire::Reasons::no);
    outline.waiting = std::move(waiting);
    return json_of(outline);
  }
  if (sight == Sight::readable) {
    job.request.environment_variables.clear();
    job.request.secrets.clear();
    job.request.hidden.clear();
  }
  return json_of(wire::JobRecord{std::move(job), std::move(waiting)});
}

json row_for(const model::Principal& who, const Access& access, const jobs::Jobs& jobs, store::ListedJob listed,
             Explain explain) {
  const auto sight = access.sight(who, listed.job);
  const bool others = sight == Sight::outline;
  auto waiting = explain == Explain::yes ? why_waiting(sight, jobs, listed.job) : std::string();
  auto experiment = std::move(listed.job.request.experiment);
  auto submission_id = std::move(listed.job.request.submission_id);
  auto outline = wire::outline_of(std::move(listed.job), others ? wire::Reasons::no : wire::Reasons::yes);
  outline.waiting = std::move(waiting);
  if (!others) {
    outline.title = std::move(listed.title);
    outline.job.request.experiment = std::move(experiment);
    outline.job.request.submission_id = std::move(submission_id);
  }
  return json_of(outline);
}

json event_for(const model::Principal& who, const Access& access, model::Event event) {
  const bool outline = access.sight(who, event.uid) == Sight::outline;
  return json_of(wire::told(outline ? model::in_outline(std::move(event)) : std::move(event)));
}

}  // namespace berth::api
