// What is done once nothing of an attempt runs any more: each step of launch_state.hpp's second half can be repeated.

#include <signal.h>

#include <algorithm>

#include "agent/jobs/launching.hpp"
#include "agent/jobs/persist.hpp"
#include "runtime/os/file.hpp"

namespace berth::jobs {
namespace {

// How often attempts of this job have ended for this cause, the one just ended included.
int times_ended(const model::Job& job, const model::Attempt& last, std::string_view cause) {
  int times = 1;
  for (const auto& attempt : job.attempts)
    if (attempt.number != last.number && attempt.ending && model::retry_cause(*attempt.ending) == cause) ++times;
  return times;
}

constexpr auto kStopPatience = std::chrono::seconds(5);
constexpr std::chrono::milliseconds kLongestGrace = std::chrono::hours(24);

// A job of the agent's own user can write what asks it to stop. Of what an agent before this one asked nothing is
// known.
bool is_forged_stop(const shim::Ended& ended, const model::Job& job, bool may_be_asked) {
  constexpr auto kSlack = std::chrono::seconds(1);
  if (ended.stopped_because == shim::kStoppedTimedOut)
    return !job.request.timeout || ended.duration + kSlack < *job.request.timeout;
  return !ended.stopped_because.empty() && !may_be_asked;
}

}  // namespace

bool wants_retry(const model::Job& job, const model::Attempt& last) {
  const auto cause = model::retry_cause(*last.ending);
  const auto allowed = job.request.retries.find(std::string(cause));
  return !cause.empty() && allowed != job.request.retries.end() && times_ended(job, last, cause) <= allowed->second;
}

// Nothing of it is supervised any more: what became of the job?
Task<Came> Jobs::settle(Run& run) {
  auto job = *run.job;
  co_await run.driver->settle(run.id(), run.condition);
  // The supervisor may be quicker than the record of who canceled.
  if (find(run.sequence)->stopping) job.canceled_by = canceled_by(run.sequence);
  model::Attempt record_of;
  record_of.number = run.attempt;
  record_of.launch = run.launch;
  if (auto* over = std::get_if<shim::Over>(&run.condition)) {
    auto& ended = over->ended;
    if (is_forged_stop(ended, job, run.adopted || find(run.sequence)->asked_to_stop)) {
      directories_.remark(job.id, "its records were changed: it was stopped by a file that is not the agent's");
      ended.stopped_because.clear();
    }
    record_of.started = ended.started;
    record_of.ended = ended.ended;
    record_of.duration = ended.duration;
    record_of.usage = drivers::usage_of(ended);
    record_of.ending = drivers::ending_of(ended, job);
    // No container engine lets the kernel end all of a job at once.
    if (ended.out_of_memory_kills > 0 && !std::holds_alternative<model::OutOfMemory>(*record_of.ending))
      directories_.remark(job.id, "a process of it, not the job itself, was ended by the kernel for want of memory");
    for (const auto& remark : ended.remarks) directories_.remark(job.id, remark);
  } else if (const auto* lost = std::get_if<shim::Lost>(&run.condition)) {
    if (lost->started) record_of.started = lost->started->time;
    auto cause = lost->rebooted ? model::Lost::Cause::reboot : model::Lost::Cause::records_changed;
    if (!lost->rebooted && run.changed.empty()) cause = co_await run.driver->why_lost();
    record_of.ending = model::Lost{cause};
    if (!run.changed.empty()) directories_.remark(job.id, "its records were changed: " + run.changed);
    co_await kill_leftovers(job.id, run.launch, run.driver->group_of(job.id, run.launch));
  } else if (find(run.sequence)->stopping) {
    record_of = canceled_attempt(run.sequence, run.attempt, run.launch);
  } else if (run.error) {
    const bool waits = co_await postpone(run, *run.error);
    if (waits) co_return Came::postponed;
    if (find(run.sequence)->stopping)
      record_of = canceled_attempt(run.sequence, run.attempt, run.launch);
    else
      record_of.ending = ending_by<model::StartFailed>(*run.error);
  } else {
    record_of.ending = start_failed("its supervisor could not be started; the agent's log tells more");
  }
  run.record = std::move(record_of);
  co_return Came::done;
}

Task<> Jobs::kill_leftovers(model::JobId id, int launch, std::string group) {
  const auto directory = directories_.directory(id, launch);
  auto kill = [&] { shim::kill_unsupervised(directory, group); };
  const auto killed = co_await async::attempt(async::offload(pool_, kill));
  if (killed) co_return;
  log_.error("processes of a lost job are left", kv("job", id), kv("error", killed.error().describe()));
  directories_.remark(id, "processes of the job are left: " + killed.error().describe());
}

Task<> Jobs::release(Run& run) {
  co_await give_back_gpus(run.sequence, run.record);
  queue_.finish(run.sequence);
  schedule();
}

Task<> Jobs::note_end(Run& run) {
  const auto& job = *run.job;
  if (!collects_outputs(job) || !run.record.started) co_return;
  enter(run.sequence, model::State::finalizing);
  const auto ended = [&] { return store_.ended(run.sequence, run.record); };
  co_await persist(ended, "an ending");
}

Task<> Jobs::gather(Run& run) {
  const auto& job = *run.job;
  if (!run.record.started) co_return;
  if (collects_outputs(job)) run.outputs = co_await gather_outputs(job, run.launch, run.record);
  co_await look_at_environment(job, run.launch, run.record);
}

// The last step: the record, then the directory. Once it is recorded nothing here fails.
Task<> Jobs::conclude(Run& run) {
  const auto& job = *run.job;
  auto* live = find(run.sequence);
  if (!live->stopping && wants_retry(job, run.record)) {
    log_.info("job attempt ended; it will be retried", kv("job", job.id),
              kv("ending", model::to_words(*run.record.ending)));
    const auto again = [&] { return store_.requeue(run.sequence, run.record, model::State::queued); };
    co_await persist(again, "a retry");
    live = find(run.sequence);
    live->leave_launch();
    run.outputs = {};
    nursery_.spawn(strip_attempt(job.id, job.uid, run.launch));
    if (live->stopping) {  // canceled while that was written
      model::Ending ending = model::Canceled{canceled_by(run.sequence)};
      co_return co_await end(run.sequence, std::nullopt, std::move(ending));
    }
    queue_.add(queue_entry(job, true));
    enter(run.sequence, model::State::queued);
    co_return schedule();
  }
  const auto ending = *run.record.ending;
  auto environment = environments_.lease_of(run.sequence);
  co_await end(run.sequence, run.record, ending);
  nursery_.spawn(strip(run.id(), *run.driver, std::move(environment)));
}

Task<> Jobs::stop_supervisor(Sequence sequence, std::string reason) {
  const auto* live = find(sequence);
  if (live == nullptr || live->launch == 0 || !may_be_supervised(live->stage)) co_return;
  const auto launch = live->launch;
  auto job = live->job;
  if (!job) job = co_await read(sequence);  // this agent took it up just now
  if (is_over(sequence, launch)) co_return;
  find(sequence)->asked_to_stop = true;
  shim::Stop stop;
  stop.signal = job->request.stop.signal;
  stop.grace = job->request.stop.grace.value_or(settings_.defaults.stop_grace);
  stop.reason = std::move(reason);
  const auto directory = directories_.directory(job->id, launch);
  const auto request = [&]() -> Task<> {
    shim::request_stop(directory, stop);
    co_return;
  };
  const auto asked = co_await async::attempt(persist(request, "a stop"));
  if (asked) {
    if (!settings_.switch_user) nursery_.spawn(enforce_stop(sequence, launch, stop.grace));
    co_return;
  }
  // Its directory is gone, or is not what it was: then nobody there can be asked.
  log_.warn("a job cannot be asked to stop; it is killed", kv("job", job->id), kv("error", asked.error().describe()));
  co_await kill_leftovers(job->id, launch, drivers_.of(job->request).group_of(job->id, launch));
}

Task<> Jobs::enforce_stop(Sequence sequence, int launch, std::chrono::milliseconds grace) {
  co_await async::sleep_for(std::min<std::chrono::milliseconds>(grace, kLongestGrace) + kStopPatience);
  const auto* live = find(sequence);
  if (live == nullptr || live->launch != launch || !live->supervisor) co_return;
  os::send_signal(*live->supervisor, SIGCONT);
  co_await async::sleep_for(kStopPatience);
  live = find(sequence);
  if (live == nullptr || live->launch != launch || !live->supervisor || is_over(sequence, launch)) co_return;
  log_.warn("a job's supervisor does not stop it; it is killed", kv("job", live->id));
  directories_.remark(live->id, "its supervisor did not stop it though it was asked to, and was killed");
  os::send_signal(*live->supervisor, SIGKILL);
}

}  // namespace berth::jobs
