#include "agent/api/view.hpp"

#include <nlohmann/json.hpp>

#include "agent/model/json.hpp"

namespace berth::api {
namespace {

using nlohmann::json;
using Sight = Access::Sight;

// What is being made for a job, or what it lacks of that, is its owner's business.
void explain_waiting(json& out, Sight sight, const jobs::Jobs& jobs, const model::Job& job) {
  const auto waiting = jobs.why_waiting(job.sequence);
  if (!waiting) return;
  const auto reason = jobs.queue().why(job.sequence, std::chrono::steady_clock::now()).reason;
  const bool told =
      sight != Sight::outline || (job.state != model::State::preparing && reason != queue::Waiting::Reason::preparing);
  out["waiting"] = told ? *waiting : "is being prepared";
}

}  // namespace

json shown_to(const model::Principal& who, const Access& access, const jobs::Jobs& jobs, const model::Job& job) {
  const auto sight = access.sight(who, job);
  auto out = sight == Sight::outline ? model::outline_json(job, model::Reasons::no) : model::to_json(job);
  if (sight == Sight::readable) {
    out["environment_variables"] = json::object();
    for (const auto* apart : {"secrets", "hidden"}) out.erase(apart);
  }
  explain_waiting(out, sight, jobs, job);
  return out;
}

json row_for(const model::Principal& who, const Access& access, const jobs::Jobs& jobs, const store::ListedJob& listed,
             Explain explain) {
  const auto& job = listed.job;
  const auto sight = access.sight(who, job);
  const bool outline = sight == Sight::outline;
  auto out = model::outline_json(job, outline ? model::Reasons::no : model::Reasons::yes);
  if (!outline) {
    out["title"] = listed.title;
    out["experiment"] = job.request.experiment;
    out["submission_id"] = job.request.submission_id;
  }
  if (explain == Explain::yes) explain_waiting(out, sight, jobs, job);
  return out;
}

json event_for(const model::Principal& who, const Access& access, const model::Event& event) {
  const bool outline = access.sight(who, event.uid) == Sight::outline;
  return model::to_json(outline ? model::in_outline(event) : event);
}

}  // namespace berth::api
