#pragma once

// Jobs as answers tell of them: the whole record for who may see it, an outline for everybody who may look, both with
// why it waits. The store keeps parts of an attempt in the same form.

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "agent/model/job.hpp"
#include "agent/wire/ending.hpp"
#include "agent/wire/request.hpp"
#include "runtime/base/fields.hpp"

namespace berth::model {

void describe(Fields& fields, EnvironmentChanges& changes);
void describe(Fields& fields, LeftOut& left_out);
void describe(Fields& fields, Attempt& attempt);

}  // namespace berth::model

namespace berth::wire {

// Request, state, timing, attempts, ending, provenance.
struct JobRecord {
  model::Job job;
  std::string waiting;  // why it has not started, in words; "" when it does not wait
};
void describe(Fields& fields, JobRecord& record);

// What everybody who may look at the queue sees of a job, and what lists tell of each: no command, variables,
// directory, files, provenance or digests, and of its attempts the times of the last. To who may see more also the
// title, the experiment and the submission id; they are "" for all others.
struct JobOutline {
  model::Job job;
  std::string title;  // the beginning of its command, as one would type it
  std::string waiting;
};
void describe(Fields& fields, JobOutline& outline);

// Without `Reasons::yes` an ending tells its kind only: a reason may quote the command or what a build printed; with it
// a long reason is cut.
enum class Reasons { yes, no };
JobOutline outline_of(model::Job job, Reasons reasons);

// A record or an outline, as whoever asks for a job is answered; of an outline the request is empty but for what it
// tells. What a newer agent adds is ignored. Throws Error Code::invalid.
struct JobSeen {
  model::Job job;
  std::string title;
  std::string waiting;
  bool outline = false;
};
JobSeen job_from(const nlohmann::json& json);

// The answer to POST /v1/jobs.
struct Accepted {
  model::JobId id;
  model::Sequence sequence;
  model::State state = model::State::preparing;
  bool known = false;  // a submission that was there already
};
void describe(Fields& fields, Accepted& accepted);
struct Submitted {
  std::vector<Accepted> jobs;
};
void describe(Fields& fields, Submitted& submitted);

// The answer to GET /v1/jobs. The agent sends it row by row.
struct JobList {
  std::optional<model::Sequence> next;
  std::vector<JobOutline> jobs;
};
void describe(Fields& fields, JobList& list);

// The body of POST /v1/jobs where there are several.
struct Submission {
  std::vector<SubmittedRequest> jobs;
};
void describe(Fields& fields, Submission& submission);

// The body of POST /v1/jobs/{id}/priority.
struct PriorityChange {
  int priority = 0;
};
void describe(Fields& fields, PriorityChange& change);

}  // namespace berth::wire
