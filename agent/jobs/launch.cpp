// An attempt's way from the intent to its record: one step of launch_state.hpp after the other. Every step may be
// overtaken by a cancellation at a co_await, so each looks at the job again afterwards.

#include <sys/inotify.h>

#include "agent/jobs/launching.hpp"
#include "agent/jobs/outage.hpp"
#include "agent/jobs/persist.hpp"
#include "runtime/async/deadline.hpp"
#include "runtime/os/attempt_count.hpp"
#include "runtime/os/file.hpp"

namespace berth::jobs {
namespace {

constexpr std::chrono::milliseconds kFirstFailurePause{50};
constexpr std::chrono::milliseconds kLongestFailurePause{10'000};
// A supervisor that was killed just when it started the job leaves the claim to a child that is about to end.
constexpr auto kClaimPatience = std::chrono::seconds(5);
constexpr unsigned kMostUnreadable = 12;  // with the pauses in between, about a minute

// What the disk or a limit may take away for a moment, as against what is not what it should be.
bool may_pass(const Error& error) { return error.code() == Code::io || error.code() == Code::no_space; }

}  // namespace

Task<> Jobs::run(Sequence sequence, int attempt, int launch) {
  Run run;
  run.sequence = sequence;
  run.attempt = attempt;
  run.launch = launch;
  run.boot_id = settings_.boot_id;
  co_await drive(std::move(run));
}

Task<> Jobs::drive(Run run) {
  async::Backoff pause(kFirstFailurePause, kLongestFailurePause);
  while (run.stage != Stage::over && find(run.sequence) != nullptr) {
    const auto stage = find(run.sequence)->stage = run.stage;
    auto came = co_await async::attempt(perform(run));
    if (!came) note_failure(run, stage, came.error());
    const bool again = run.adopted || (!run.error && run.tries < kLaunchTries);
    run.stage = next(stage, came ? *came : Came::failed, again ? Again::yes : Again::no);
    if (came)
      pause.reset();
    else if (stage >= Stage::watching)
      co_await async::sleep_for(pause.next());
  }
}

Task<Came> Jobs::perform(Run& run) {
  if (!run.job) {
    run.job = co_await read(run.sequence);
    run.driver = &drivers_.of(run.job->request);
    if (auto* live = find(run.sequence)) live->job = run.job;
  }
  switch (run.stage) {
    case Stage::intending:
      co_return co_await intend(run);
    case Stage::launching:
      co_return co_await launch(run);
    case Stage::watching:
      co_return co_await wait_for_news(run);
    case Stage::looking:
      co_return co_await look(run);
    case Stage::relaunching:
      co_await relaunch(run);
      break;
    case Stage::settling:
      co_return co_await settle(run);
    case Stage::releasing:
      co_await release(run);
      break;
    case Stage::noting:
      co_await note_end(run);
      break;
    case Stage::gathering:
      co_await gather(run);
      break;
    case Stage::recording:
      co_await conclude(run);
      break;
    case Stage::over:
      break;
  }
  co_return Came::done;
}

// Before there is a supervisor a failure is the attempt's end; after that it only is told, once.
void Jobs::note_failure(Run& run, Stage stage, const Error& error) {
  const auto* live = find(run.sequence);
  if (live == nullptr) return;
  if (stage == Stage::intending || stage == Stage::launching) run.error = error;
  if (stage == Stage::intending && run.record.ending) {
    log_.info("job cannot be run as it was prepared", kv("job", live->id), kv("error", error.describe()));
    return;
  }
  if (stage == Stage::intending) {
    log_.error("job cannot be run", kv("job", live->id), kv("error", error.describe()));
    run.record.number = run.attempt;
    run.record.launch = run.launch;
    if (live->stopping)  // a cancellation was on record before the start
      run.record = canceled_attempt(run.sequence, run.attempt, run.launch);
    else
      run.record.ending = ending_by<model::StartFailed>(error);
    return;
  }
  if (stage == Stage::gathering) directories_.remark(live->id, "outputs were not collected: " + error.describe());
  if (std::exchange(run.told, true)) return;
  log_.error("job goes on, but not everything about it can be done now", kv("job", live->id),
             kv("error", error.describe()));
  if (stage == Stage::looking)
    directories_.remark(live->id, "the agent cannot read what became of the job, and tries again: " + error.describe());
}

Task<Came> Jobs::intend(Run& run) {
  if (find(run.sequence)->stopping) {
    run.record = canceled_attempt(run.sequence, run.attempt, run.launch);
    co_return Came::canceled;
  }
  store::StartIntent intent;
  intent.sequence = run.sequence;
  intent.attempt = run.attempt;
  intent.launch = run.launch;
  intent.boot_id = run.boot_id = settings_.boot_id;
  intent.gpus = find(run.sequence)->gpus;
  run.seal = {};
  if (run.driver->hands_over_keys()) {
    run.seal.key = shim::new_key();
    run.seal.print = intent.seal = shim::print_of(run.seal.key);
  }
  run.prepared = std::make_shared<PreparedLaunch>();
  run.prepared->job = run.job;
  nursery_.spawn(prepare_launch(run.sequence, run.launch, run.prepared));
  co_await persist([&] { return store_.start_intent(intent); }, "a start");
  while (!run.prepared->ready) co_await run.prepared->done.wait();
  if (!run.prepared->failure) co_return Came::done;
  const bool waits = co_await postpone(run, *run.prepared->failure);
  if (waits) co_return Came::postponed;
  const auto& job = *run.job;
  const bool certain = needs_preparation(job.request) && !run.prepared->without_secrets;
  if (!certain || find(run.sequence)->stopping) throw *run.prepared->failure;
  run.record.number = run.attempt;  // what was prepared is there no more
  run.record.launch = run.launch;
  run.record.ending = job.request.environment.kind == model::EnvironmentRequest::Kind::none
                          ? ending_by<model::SnapshotFailed>(*run.prepared->failure)
                          : environment_failed(job, *run.prepared->failure);
  throw *run.prepared->failure;
}

// From the launcher's call on there may be a supervisor, whatever comes of the call.
Task<Came> Jobs::launch(Run& run) {
  const auto& job = run.prepared->whole;
  const auto& shown_command = run.job->request.command;
  const auto identity = co_await identity_of(job.uid);
  auto& site = run.prepared->site;
  shim::Launch plan;
  auto make_plan = [&] {
    plan = drivers::plan_launch(job, run.attempt, site, run.prepared->environment, identity, settings_.switch_user,
                                settings_.defaults);
    if (!run.prepared->secrets.empty())
      drivers::set_secrets_apart(plan, job.request, shown_command, site, run.prepared->secrets);
  };
  auto made = co_await async::attempt(async::offload(pool_, make_plan));
  if (!made) {  // which may repeat what is secret of docker_args
    const auto hidden = co_await masks_.hide(made.error(), run.prepared->secrets, job.uid);
    throw hidden;
  }
  auto* live = find(run.sequence);
  if (live->stopping) {
    run.record = canceled_attempt(run.sequence, run.attempt, run.launch);
    co_return Came::canceled;
  }
  live->launch = run.launch;  // whom a cancellation asks from now on
  auto supervisor = co_await run.driver->start(run.id(), plan, site, run.prepared->environment, run.seal.key);
  live = find(run.sequence);
  if (supervisor.key.empty()) run.seal = {};
  run.supervisor = live->supervisor = std::make_shared<os::Fd>(std::move(supervisor.pidfd));
  live->outage.reset();
  live->started = clock_.now();
  enter(run.sequence, live->state);  // for those who wait for the launch
  log_.info("job started", kv("job", job.id), kv("attempt", run.attempt), kv("shim", supervisor.pid));
  if (live->stopping) co_await stop_supervisor(run.sequence, shim::kStoppedCanceled);
  co_return Came::done;
}

// Until the supervisor has written the ending, or is gone. It needs many milliseconds more to exit, which nobody has to
// wait for.
Task<Came> Jobs::wait_for_news(Run& run) {
  if (!run.supervisor || os::has_ended(*run.supervisor)) {
    co_await async::sleep_for(run.pause.next());
    co_return Came::done;
  }
  const auto directory = directories_.directory(find(run.sequence)->id, run.launch);
  if (!run.watch) {
    try {
      run.watch = watcher_.watch(directory, IN_MOVED_TO);
    } catch (const Error&) {  // somebody has taken the directory away: then its end tells
    }
    for (const auto* file : {shim::kStartedFile, shim::kEndingFile})  // that came before the watch
      if (run.watch && os::exists(os::join(directory, file))) co_return Came::done;
  }
  auto gone = async::readable(run.supervisor->get());
  if (!run.watch) {
    co_await std::move(gone);
    co_return Came::done;
  }
  auto changed = run.watch->changed();
  co_await async::run_until(std::move(changed), std::move(gone));
  co_return Came::done;
}

Task<Came> Jobs::look(Run& run) {
  auto came = co_await look_at_files(run);
  if (came != Came::running && came != Came::failed) {
    run.watch.reset();
    run.pause.reset();
  }
  co_return came;
}

Task<Came> Jobs::look_at_files(Run& run) {
  const auto id = find(run.sequence)->id;
  const auto directory = directories_.directory(id, run.launch);
  const bool alive = run.supervisor && !os::has_ended(*run.supervisor);
  std::optional<Error> unreadable;
  try {
    if (alive) {  // it has the last word, whoever else writes there
      auto ended = shim::ending_in(directory, run.seal);
      run.seen_started = run.seen_started || os::exists(os::join(directory, shim::kStartedFile));
      if (!ended) co_return Came::running;
      run.condition = shim::Over{std::move(*ended)};
      co_return Came::ended;
    }
    if (!os::exists(directory)) {
      if (run.boot_id != os::boot_id()) {  // directories are not synced
        run.condition = shim::Lost{std::nullopt, true};
        co_return Came::ended;
      }
      // Its agent may have died before it made the directory; what ran there has left traces.
      if (run.adopted && !shim::has_processes(directory, run.driver->group_of(id, run.launch)))
        co_return never_ran(run);
      co_return lost(run, "its directory " + directory + " was removed");
    }
    std::optional<os::Attempt> attempt;
    if (run.adopted) attempt.emplace(directories_.looking_file(id, run.launch));
    if (attempt && attempt->is_one_too_many())
      co_return lost(run, "the agent ended " + std::to_string(os::kMostAttempts) + " times while it read them");
    run.condition = shim::inspect(directory, run.boot_id, run.seal);
  } catch (const Error& error) {
    unreadable = error;
  }
  if (!unreadable) {
    if (auto* running = std::get_if<shim::Running>(&run.condition)) co_return co_await adopt(run, std::move(*running));
    co_return std::holds_alternative<shim::NeverRan>(run.condition) ? never_ran(run) : Came::ended;
  }
  if (alive) {
    if (unreadable->code() != Code::unsupported && !may_pass(*unreadable) && run.changed.empty()) {
      run.changed = unreadable->describe();
      directories_.remark(id, "its records were changed: " + run.changed);
    }
    co_return Came::running;
  }
  if (find(run.sequence)->stopping) co_await stop_supervisor(run.sequence, shim::kStoppedCanceled);
  // For a newer agent to read, or gone with the next look.
  const bool waits =
      unreadable->code() == Code::unsupported || (may_pass(*unreadable) && ++run.unreadable < kMostUnreadable);
  if (waits && !(find(run.sequence)->stopping && !shim::is_supervised(directory))) throw *unreadable;
  co_return lost(run, unreadable->describe());
}

// Of a launch whose claim somebody holds, though no supervisor is known yet.
Task<Came> Jobs::adopt(Run& run, shim::Running running) {
  auto* live = find(run.sequence);
  if (run.supervisor) co_return held_by_another(run, "was killed");  // ours, which has ended
  if (!running.started) co_return Came::running;  // it will within moments
  if (!running.shim) {
    auto found = co_await async::attempt(run.driver->recover(run.id()));
    if (!found) co_return Came::running;  // that cannot be told now, or it has ended this very moment
    if (*found) running.shim = std::move(**found);
  }
  if (!running.shim) co_return held_by_another(run, "is gone");
  live = find(run.sequence);
  live->started = running.started->time;
  run.seen_started = true;
  log_.info("job adopted", kv("job", live->id), kv("shim", running.started->shim.pid));
  run.supervisor = live->supervisor = std::make_shared<os::Fd>(std::move(*running.shim));
  // It may have been canceled by an agent that died before it could say so.
  if (live->stopping) co_await stop_supervisor(run.sequence, shim::kStoppedCanceled);
  co_return Came::running;
}

// The claim of its supervisor: for a moment, or for good.
Came Jobs::held_by_another(Run& run, const std::string& supervisor) {
  if (!run.unwatched_since) run.unwatched_since = clock_.steady();
  if (clock_.steady() - *run.unwatched_since < kClaimPatience) return Came::running;
  return lost(run, "its supervisor " + supervisor + ", and something else holds its claim");
}

// It is revoked, so that it never will.
Came Jobs::never_ran(Run& run) {
  const auto* live = find(run.sequence);
  if (run.seen_started) return lost(run, "what told that it was started was removed");
  // Whose job took its records away, and its supervisor, did run.
  if (shim::has_processes(directories_.directory(live->id, run.launch), run.driver->group_of(live->id, run.launch)))
    return lost(run, "processes of it run though nothing tells that it was started");
  run.condition = shim::NeverRan{};
  return live->stopping ? Came::ended : Came::never_ran;
}

Came Jobs::lost(Run& run, std::string changed) {
  run.changed = std::move(changed);
  run.condition = shim::Lost{std::nullopt, false};
  return Came::ended;
}

// Up to the change of the number it may be done again.
Task<> Jobs::relaunch(Run& run) {
  auto* live = find(run.sequence);
  const auto id = live->id;
  const auto uid = live->uid;
  live->leave_launch();
  if (run.adopted)
    log_.info("job had not started; starting it", kv("job", id));
  else
    log_.warn("supervisor died before it started the job; trying again", kv("job", id));
  // Whatever its files tell: no two launches of a job run at once.
  co_await kill_leftovers(id, run.launch, run.driver->group_of(id, run.launch));
  co_await run.driver->settle(run.id(), run.condition);
  const int before = run.launch++;
  if (!run.adopted) ++run.tries;
  run.adopted = false;
  run.supervisor.reset();
  run.unwatched_since.reset();
  run.seen_started = false;
  auto discard = [&](const std::stop_token&) { directories_.discard(id, before); };
  const auto discarded = co_await async::attempt(async::offload(lanes_.removing, uid, discard));
  if (!discarded)  // it is revoked, and in nobody's way
    log_.warn("what a launch left stays", kv("job", id), kv("launch", before),
              kv("error", discarded.error().describe()));
}

}  // namespace berth::jobs
