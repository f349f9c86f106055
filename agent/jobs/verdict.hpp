#pragma once

// What ended a job, decided in one place from all that is known of it. Pure.

#include <optional>
#include <string>
#include <vector>

#include "agent/model/job.hpp"
#include "runtime/base/error.hpp"
#include "runtime/shim/client.hpp"

namespace berth::jobs {

// Why it did not come to a supervisor, or why starting one failed.
struct Failure {
  enum class Of { code, environment, start };
  Of of = Of::start;
  Error error;
};

// What is known of an attempt once nothing of it runs, or of a job that never came to one.
struct Evidence {
  // What the launch's files and the kernel tell; NeverRan where there was no launch.
  shim::Condition condition = shim::NeverRan{};
  std::string changed;  // how its records were changed, so that nothing can be read from them; "" where they were not
  std::optional<model::Lost::Cause> lost{};  // what the driver knows of a launch that ended without a word
  bool may_be_asked = false;  // to stop: by this agent, or by one before it
  std::optional<std::string> canceled_by{};  // by whom; nothing where nobody did
  std::optional<Failure> failure{};
  std::optional<model::GpuError> gpu{};  // that a GPU it held failed while it did
};

struct Verdict {
  model::Ending ending;
  std::vector<std::string> remarks{};  // for the job's user: what its records do not show
};

// What the files tell goes before who wanted what: a job that ended by itself while it was being canceled has ended by
// itself.
Verdict judge(const model::Job& job, const Evidence& evidence);

// Times and use of the attempt, as its supervisor saw them.
void note_what_ran(const shim::Condition& condition, model::Attempt& attempt);

// Whether the attempt that has just ended is to be repeated.
bool wants_retry(const model::Job& job, const model::Attempt& last);

}  // namespace berth::jobs
