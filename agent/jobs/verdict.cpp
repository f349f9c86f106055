#include "agent/jobs/verdict.hpp"

#include "agent/drivers/launch_plan.hpp"

namespace berth::jobs {
namespace {

constexpr int kNotStarted = 125;  // the exit code of what could not be run, as `env` and `docker run` have it

// A job of the agent's own user can write what asks it to stop. Of what an agent before this one asked nothing is
// known.
bool is_forged_stop(const shim::Ended& ended, const model::Job& job, bool may_be_asked) {
  constexpr auto kSlack = std::chrono::seconds(1);
  if (ended.stopped_because == shim::kStoppedTimedOut)
    return !job.request.timeout || ended.duration + kSlack < *job.request.timeout;
  return !ended.stopped_because.empty() && !may_be_asked;
}

Verdict by_its_supervisor(const model::Job& job, const Evidence& evidence, shim::Ended ended) {
  Verdict verdict;
  if (is_forged_stop(ended, job, evidence.may_be_asked)) {
    verdict.remarks.emplace_back("its records were changed: it was stopped by a file that is not the agent's");
    ended.stopped_because.clear();
  }
  verdict.ending = drivers::ending_of(ended, job.request, evidence.canceled_by.value_or(job.canceled_by));
  // No container engine lets the kernel end all of a job at once.
  if (ended.out_of_memory_kills > 0 && !std::holds_alternative<model::OutOfMemory>(verdict.ending))
    verdict.remarks.emplace_back("a process of it, not the job itself, was ended by the kernel for want of memory");
  verdict.remarks.insert(verdict.remarks.end(), ended.remarks.begin(), ended.remarks.end());
  return verdict;
}

Verdict without_a_word(const Evidence& evidence, const shim::Lost& lost) {
  Verdict verdict{model::Lost{lost.rebooted ? model::Lost::Cause::reboot : model::Lost::Cause::records_changed}};
  if (!lost.rebooted && evidence.lost) verdict.ending = model::Lost{*evidence.lost};
  if (!evidence.changed.empty()) verdict.remarks.push_back("its records were changed: " + evidence.changed);
  return verdict;
}

// A full disk is told as that, whatever it kept from being done.
model::Ending by_failure(const model::Job& job, const Failure& failure) {
  const auto reason = failure.error.describe();
  if (failure.error.code() == Code::no_space) return model::DiskFull{reason};
  switch (failure.of) {
    case Failure::Of::code:
      return model::SnapshotFailed{reason};
    case Failure::Of::environment:
      if (model::in_container(job.request.environment)) return model::ImageFailed{reason};
      return model::EnvironmentFailed{reason};
    case Failure::Of::start:
      break;
  }
  return model::StartFailed{kNotStarted, reason};
}

Verdict decide(const model::Job& job, const Evidence& evidence) {
  if (const auto* over = std::get_if<shim::Over>(&evidence.condition))
    return by_its_supervisor(job, evidence, over->ended);
  if (const auto* lost = std::get_if<shim::Lost>(&evidence.condition)) return without_a_word(evidence, *lost);
  if (evidence.canceled_by) return {model::Canceled{*evidence.canceled_by}};
  if (evidence.failure) return {by_failure(job, *evidence.failure)};
  return {model::StartFailed{kNotStarted, "its supervisor could not be started; the agent's log tells more"}};
}

// What a program does whose GPU has gone: it fails, is killed, or hangs.
bool may_be_its_gpus(const model::Ending& ending) {
  return (std::holds_alternative<model::Exited>(ending) && !model::succeeded(ending)) ||
         std::holds_alternative<model::Signalled>(ending) || std::holds_alternative<model::TimedOut>(ending);
}

// How often attempts of this job have ended for this cause, the one just ended included.
int times_ended(const model::Job& job, const model::Attempt& last, std::string_view cause) {
  int times = 1;
  for (const auto& attempt : job.attempts)
    if (attempt.number != last.number && attempt.ending && model::retry_cause(*attempt.ending) == cause) ++times;
  return times;
}

}  // namespace

Verdict judge(const model::Job& job, const Evidence& evidence) {
  auto verdict = decide(job, evidence);
  if (evidence.gpu && may_be_its_gpus(verdict.ending)) verdict.ending = *evidence.gpu;
  return verdict;
}

void note_what_ran(const shim::Condition& condition, model::Attempt& attempt) {
  if (const auto* over = std::get_if<shim::Over>(&condition)) {
    attempt.started = over->ended.started;
    attempt.ended = over->ended.ended;
    attempt.duration = over->ended.duration;
    attempt.usage = drivers::usage_of(over->ended);
  } else if (const auto* lost = std::get_if<shim::Lost>(&condition); lost != nullptr && lost->started) {
    attempt.started = lost->started->time;
  }
}

bool wants_retry(const model::Job& job, const model::Attempt& last) {
  const auto cause = model::retry_cause(*last.ending);
  const auto allowed = job.request.retries.find(std::string(cause));
  return !cause.empty() && allowed != job.request.retries.end() && times_ended(job, last, cause) <= allowed->second;
}

}  // namespace berth::jobs
