#pragma once

// What the sources of Jobs share about endings and attempts.

#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "agent/jobs/jobs.hpp"
#include "agent/jobs/launch_state.hpp"
#include "runtime/async/wait.hpp"

namespace berth::jobs {

inline bool collects_outputs(const model::Job& job) { return job.request.snapshot || !job.request.outputs.empty(); }

constexpr int kNotStarted = 125;  // the exit code of what could not be run, as `env` and `docker run` have it

inline model::Ending start_failed(std::string reason) { return model::StartFailed{kNotStarted, std::move(reason)}; }

// A full disk is told as that, whatever it kept from being done.
template <class Failed>
model::Ending ending_by(const Error& error) {
  if (error.code() == Code::no_space) return model::DiskFull{error.describe()};
  if constexpr (std::is_same_v<Failed, model::StartFailed>)
    return start_failed(error.describe());
  else
    return Failed{error.describe()};
}

inline model::Ending environment_failed(const model::Job& job, const Error& error) {
  if (model::in_container(job.request.environment)) return ending_by<model::ImageFailed>(error);
  return ending_by<model::EnvironmentFailed>(error);
}

// Whether the attempt that has just ended is to be repeated.
bool wants_retry(const model::Job& job, const model::Attempt& last);

// One attempt on its way (launch_state.hpp); lives in the coroutine that drives it.
struct Jobs::Run {
  Sequence sequence = 0;
  int attempt = 0;
  int launch = 0;
  std::shared_ptr<const model::Job> job;  // as it was when the first step began
  drivers::Driver* driver = nullptr;      // of its kind of job
  Stage stage = Stage::intending;
  int tries = 1;         // launches of this attempt
  bool adopted = false;  // another agent launched it, and may have died at any point
  std::string boot_id;   // in which it was launched
  shim::Seal seal;       // of its ending
  std::shared_ptr<PreparedLaunch> prepared;
  std::optional<Error> error;  // why it did not come to a supervisor, or why starting one failed
  std::shared_ptr<os::Fd> supervisor;  // readable when it has ended
  std::unique_ptr<async::Watcher::Watch> watch;
  async::Backoff pause{std::chrono::milliseconds(5),
                       std::chrono::milliseconds(1000)};  // where nobody can be waited for
  std::optional<Steady> unwatched_since;  // somebody holds the claim who is not its supervisor
  bool seen_started = false;              // by its files; whoever removes them later does not undo it
  unsigned unreadable = 0;                // how often its files could not be read
  bool told = false;
  std::string changed;  // how its records were changed; "" where they were not
  shim::Condition condition = shim::NeverRan{};
  model::Attempt record;
  objects::Store::Pin outputs;  // until they are on record

  drivers::LaunchId id() const { return {job->id, job->uid, launch}; }
};

}  // namespace berth::jobs
