// An attempt's way from the intent to what became of its launch: one step of launch_state.hpp after the other. Every
// step may be overtaken by a cancellation at a co_await, so each looks at the job again afterwards.

#include <sys/inotify.h>

#include "agent/jobs/runner.hpp"
#include "agent/wire/secrets.hpp"
#include "runtime/async/deadline.hpp"
#include "runtime/os/attempt_count.hpp"
#include "runtime/os/file.hpp"

namespace berth::jobs {
namespace {

constexpr int kLaunchTries = 3;  // of an attempt whose supervisor dies before it has started the job
constexpr std::chrono::milliseconds kFirstFailurePause{50};
constexpr std::chrono::milliseconds kLongestFailurePause{10'000};
// A supervisor that was killed just when it started the job leaves the claim to a child that is about to end.
constexpr auto kClaimPatience = std::chrono::seconds(5);
constexpr unsigned kMostUnreadable = 12;  // with the pauses in between, about a minute

// What the disk or a limit may take away for a moment, as against what is not what it should be.
bool may_pass(const Error& error) { return error.code() == Code::io || error.code() == Code::no_space; }

}  // namespace

void Runner::begin(std::vector<std::string> gpus) {
  gpus_ = std::move(gpus);
  if (!gpus_.empty()) context_.gpus.hold(id_, gpus_);
  enter(model::State::running);
  attempt_ = std::make_unique<Attempt>();
  attempt_->number = ++attempts_;
  attempt_->launch = ++launches_;
  set_out(Stage::intending);
}

void Runner::begin_recorded(store::StartIntent intent, shim::Seal seal) {
  enter(model::State::running);
  attempt_ = std::make_unique<Attempt>();
  attempt_->number = attempts_ = intent.attempt;
  attempt_->launch = launches_ = intent.launch;
  attempt_->boot_id = std::move(intent.boot_id);
  attempt_->seal = std::move(seal);
  attempt_->recorded = true;
  set_out(Stage::intending);
}

void Runner::resume(const store::LiveJob& job) {
  gpus_ = job.gpus;
  launched_ = job.launch;
  attempt_ = std::make_unique<Attempt>();
  attempt_->number = job.attempt;
  attempt_->launch = job.launch;
  attempt_->adopted = true;
  attempt_->boot_id = job.boot_id;
  attempt_->seal.print = job.seal;
  if (state_ != model::State::finalizing && !gpus_.empty()) context_.gpus.hold(id_, gpus_);
  set_out(state_ == model::State::finalizing ? Stage::gathering : Stage::looking);
}

void Runner::set_out(Stage stage) {
  attempt_->stage = stage;
  attempt_->record.number = attempt_->number;
  attempt_->record.launch = attempt_->launch;
  spawn([](Runner& runner) { return runner.drive(); });
}

Task<> Runner::drive() {
  async::Backoff pause(kFirstFailurePause, kLongestFailurePause);
  while (attempt_->stage != Stage::over && !ended_) {
    const auto stage = attempt_->stage;
    auto came = co_await async::attempt(perform());
    if (ended_) break;
    if (!came) note_failure(stage, came.error());
    const bool again = attempt_->adopted || (!attempt_->evidence.failure && attempt_->tries < kLaunchTries);
    attempt_->stage = next(stage, came ? *came : Came::failed, again ? Again::yes : Again::no);
    if (came)
      pause.reset();
    else if (stage >= Stage::watching)
      co_await async::sleep_for(pause.next());
  }
  attempt_.reset();
}

Task<Came> Runner::perform() {
  const auto job = co_await record();
  if (attempt_->stage >= Stage::gathering && !attempt_->record.ending)  // another agent put it on record
    attempt_->record = job->attempts.back();
  attempt_->driver = &context_.drivers.of(job->request);
  switch (attempt_->stage) {
    case Stage::intending:
      co_return co_await intend();
    case Stage::launching:
      co_return co_await start();
    case Stage::watching:
      co_return co_await wait_for_news();
    case Stage::looking:
      co_return co_await look();
    case Stage::relaunching:
      co_await relaunch();
      break;
    case Stage::settling:
      co_return co_await settle();
    case Stage::releasing:
      co_await release();
      break;
    case Stage::noting:
      co_await note_end();
      break;
    case Stage::gathering:
      co_await gather();
      break;
    case Stage::recording:
      co_await conclude();
      break;
    case Stage::over:
      break;
  }
  co_return Came::done;
}

// Before there is a supervisor a failure is the attempt's end; after that it only is told, once.
void Runner::note_failure(Stage stage, const Error& error) {
  auto& evidence = attempt_->evidence;
  if (stage == Stage::intending || stage == Stage::launching)
    evidence.failure = Failure{stage == Stage::intending ? what_is_missing() : Failure::Of::start, error};
  if (stage == Stage::intending && !stopping_) {
    if (evidence.failure->of == Failure::Of::start)
      context_.log.error("job cannot be run", kv("job", id_), kv("error", error.describe()));
    else
      context_.log.info("job cannot be run as it was prepared", kv("job", id_), kv("error", error.describe()));
  }
  if (stage == Stage::intending) return;
  if (stage == Stage::gathering) context_.directories.remark(id_, "outputs were not collected: " + error.describe());
  if (std::exchange(attempt_->told, true)) return;
  context_.log.error("job goes on, but not everything about it can be done now", kv("job", id_),
                     kv("error", error.describe()));
  if (stage == Stage::looking)
    context_.directories.remark(id_,
                                "the agent cannot read what became of the job, and tries again: " + error.describe());
}

// What was prepared is there no more, where that is what failed.
Failure::Of Runner::what_is_missing() const {
  const auto& prepared = attempt_->prepared;
  const bool its_preparation = prepared && prepared->failure && !prepared->without_secrets;
  if (!its_preparation || !needs_preparation(job_->request)) return Failure::Of::start;
  return job_->request.environment.kind == model::EnvironmentRequest::Kind::none ? Failure::Of::code
                                                                                 : Failure::Of::environment;
}

Task<Came> Runner::intend() {
  if (stopping_) co_return Came::canceled;
  const auto prepared = attempt_->prepared = std::make_shared<PreparedLaunch>();
  prepared->job = job_;
  spawn([launch = attempt_->launch, prepared](Runner& runner) { return runner.prepare_launch(launch, prepared); });
  if (!attempt_->recorded) co_await write_intent();
  while (!prepared->ready) co_await prepared->done.wait();
  if (stopping_) co_return Came::canceled;  // then there may be nothing prepared, and no failure either
  if (!prepared->failure) co_return Came::done;
  const bool waits = co_await postpone(*prepared->failure);
  if (waits) co_return Came::postponed;
  throw *prepared->failure;
}

Task<> Runner::write_intent() {
  store::StartIntent intent;
  intent.sequence = sequence_;
  intent.attempt = attempt_->number;
  intent.launch = attempt_->launch;
  intent.boot_id = attempt_->boot_id = context_.settings.boot_id;
  intent.gpus = gpus_;
  attempt_->seal = {};
  if (attempt_->driver->hands_over_keys()) {
    attempt_->seal.key = shim::new_key();
    attempt_->seal.print = intent.seal = shim::print_of(attempt_->seal.key);
  }
  co_await context_.persist([&] { return context_.store.start_intent(intent); }, "a start");
}

Task<> Runner::prepare_launch(int launch, std::shared_ptr<PreparedLaunch> prepared) {
  const auto made = co_await async::attempt(fill_launch(launch, *prepared));
  if (!made) prepared->failure = made.error();
  prepared->ready = true;
  prepared->done.notify_all();
}

Task<> Runner::fill_launch(int launch, PreparedLaunch& prepared) {
  if (stopping_) co_return;
  const auto identity = co_await context_.identities.of(uid_);
  prepared.without_secrets = true;
  prepared.secrets = co_await context_.secrets.of(*prepared.job);
  prepared.without_secrets = false;
  prepared.whole = prepared.job;
  auto complete = [&] {
    auto whole = *prepared.job;
    wire::put_back(whole.request, prepared.secrets);
    prepared.whole = std::make_shared<const model::Job>(std::move(whole));
  };
  if (!prepared.secrets.empty()) co_await async::offload(context_.pool, complete);
  const auto& job = *prepared.whole;
  auto make = [&] { prepared.site = context_.directories.make(job, launch, identity); };
  auto make_copy = [&](const std::stop_token&) { make(); };
  auto measure = [&](const std::stop_token&) { return context_.directories.bytes_of(*job.request.snapshot); };
  if (job.request.snapshot && !context_.directories.overlays()) {
    const auto bytes = co_await async::offload(context_.lanes.preparing, uid_, measure);
    const auto room = co_await context_.room_for(uid_, bytes);
    co_await async::offload(context_.lanes.preparing, uid_, make_copy);
  } else if (job.request.snapshot) {
    co_await async::offload(context_.pool, make);
  } else {
    make();
  }
  prepared.site.gpus = gpus_;
  if (context_.settings.switch_user) prepared.site.devices = context_.gpus.ledger().rules_for(prepared.site.gpus);
  if (job.request.environment.kind != model::EnvironmentRequest::Kind::none) {
    auto ready = co_await async::attempt(context_.environments.for_launch(job, identity, prepared.secrets.registries));
    if (!ready) {
      const auto failure = co_await context_.masks.hide(ready.error(), prepared.secrets, uid_);
      throw failure;
    }
    prepared.environment = std::move(*ready);
  }
  co_await context_.drivers.of(job.request)
      .prepare(launch_id(launch), job, prepared.environment, identity, prepared.site);
}

// From the launcher's call on there may be a supervisor, whatever comes of the call.
Task<Came> Runner::start() {
  const auto prepared = attempt_->prepared;
  const auto identity = co_await context_.identities.of(uid_);
  if (stopping_) co_return Came::canceled;
  shim::Launch plan;
  auto make_plan = [&, defaults = context_.settings.defaults] {  // they may change meanwhile
    plan = drivers::plan_launch(*prepared->whole, attempt_->number, prepared->site, prepared->environment, identity,
                                context_.settings.switch_user, defaults);
    if (!prepared->secrets.empty())
      drivers::set_secrets_apart(plan, prepared->whole->request, job_->request.command, prepared->site,
                                 prepared->secrets);
  };
  const auto plan_somewhere = [&]() -> Task<> {
    if (large_) co_return co_await async::offload(context_.pool, make_plan);
    make_plan();
  };
  auto made = co_await async::attempt(plan_somewhere());
  if (!made) {  // which may repeat what is secret of docker_args
    const auto hidden = co_await context_.masks.hide(made.error(), prepared->secrets, uid_);
    throw hidden;
  }
  if (stopping_) co_return Came::canceled;
  launched_ = attempt_->launch;  // whom a cancellation asks from now on
  auto supervisor = co_await attempt_->driver->start(launch_id(attempt_->launch), plan, prepared->site,
                                                     prepared->environment, attempt_->seal.key);
  if (supervisor.key.empty()) attempt_->seal = {};
  attempt_->supervisor = supervisor_ = std::make_shared<os::Fd>(std::move(supervisor.pidfd));
  outage_.reset();
  started_ = context_.clock.now();
  enter(state_);  // for those who wait for the launch
  context_.log.info("job started", kv("job", id_), kv("attempt", attempt_->number), kv("shim", supervisor.pid));
  if (stopping_) co_await stop_supervisor(shim::kStoppedCanceled);
  context_.directories.make_ahead();
  co_return Came::done;
}

// Until the supervisor has written the ending, or is gone. It needs many milliseconds more to exit, which nobody has to
// wait for.
Task<Came> Runner::wait_for_news() {
  auto& attempt = *attempt_;
  if (!attempt.supervisor || os::has_ended(*attempt.supervisor)) {
    co_await async::sleep_for(attempt.pause.next());
    co_return Came::done;
  }
  const auto directory = context_.directories.directory(id_, attempt.launch);
  if (!attempt.watch) {
    try {
      attempt.watch = context_.watcher.watch(directory, IN_MOVED_TO);
    } catch (const Error&) {  // somebody has taken the directory away: then its end tells
    }
    for (const auto* file : {shim::kStartedFile, shim::kEndingFile})  // that came before the watch
      if (attempt.watch && os::exists(os::join(directory, file))) co_return Came::done;
  }
  auto gone = async::readable(attempt.supervisor->get());
  if (!attempt.watch) {
    co_await std::move(gone);
    co_return Came::done;
  }
  auto changed = attempt.watch->changed();
  co_await async::run_until(std::move(changed), std::move(gone));
  co_return Came::done;
}

Task<Came> Runner::look() {
  auto came = co_await look_at_files();
  if (came != Came::running && came != Came::failed) {
    attempt_->watch.reset();
    attempt_->pause.reset();
  }
  co_return came;
}

Task<Came> Runner::look_at_files() {
  auto& attempt = *attempt_;
  auto& condition = attempt.evidence.condition;
  const auto directory = context_.directories.directory(id_, attempt.launch);
  const bool alive = attempt.supervisor && !os::has_ended(*attempt.supervisor);
  std::optional<Error> unreadable;
  try {
    if (alive) {  // it has the last word, whoever else writes there
      auto ended = shim::ending_in(directory, attempt.seal);
      attempt.seen_started = attempt.seen_started || os::exists(os::join(directory, shim::kStartedFile));
      if (!ended) co_return Came::running;
      condition = shim::Over{std::move(*ended)};
      co_return Came::ended;
    }
    if (!os::exists(directory)) {
      if (attempt.boot_id != os::boot_id()) {  // directories are not synced
        condition = shim::Lost{std::nullopt, true};
        co_return Came::ended;
      }
      // Its agent may have died before it made the directory; what ran there has left traces.
      if (attempt.adopted && !shim::has_processes(directory, attempt.driver->group_of(id_, attempt.launch)))
        co_return never_ran();
      co_return lost("its directory " + directory + " was removed");
    }
    std::optional<os::Attempt> count;
    if (attempt.adopted) count.emplace(context_.directories.looking_file(id_, attempt.launch));
    if (count && count->is_one_too_many())
      co_return lost("the agent ended " + std::to_string(os::kMostAttempts) + " times while it read them");
    condition = shim::inspect(directory, attempt.boot_id, attempt.seal);
  } catch (const Error& error) {
    unreadable = error;
  }
  if (!unreadable) {
    if (auto* running = std::get_if<shim::Running>(&condition)) co_return co_await adopt(std::move(*running));
    co_return std::holds_alternative<shim::NeverRan>(condition) ? never_ran() : Came::ended;
  }
  if (alive) {
    if (unreadable->code() != Code::unsupported && !may_pass(*unreadable) && attempt.evidence.changed.empty()) {
      attempt.evidence.changed = unreadable->describe();
      context_.directories.remark(id_, "its records were changed: " + attempt.evidence.changed);
    }
    co_return Came::running;
  }
  if (stopping_) co_await stop_supervisor(shim::kStoppedCanceled);
  // For a newer agent to read, or gone with the next look.
  const bool waits =
      unreadable->code() == Code::unsupported || (may_pass(*unreadable) && ++attempt.unreadable < kMostUnreadable);
  if (waits && !(stopping_ && !shim::is_supervised(directory))) throw *unreadable;
  co_return lost(unreadable->describe());
}

// Of a launch whose claim somebody holds, though no supervisor is known yet.
Task<Came> Runner::adopt(shim::Running running) {
  if (attempt_->supervisor) co_return held_by_another("was killed");  // ours, which has ended
  if (!running.started) co_return Came::running;  // it will within moments
  if (!running.shim) {
    auto found = co_await async::attempt(attempt_->driver->recover(launch_id(attempt_->launch)));
    if (!found) co_return Came::running;  // that cannot be told now, or it has ended this very moment
    if (*found) running.shim = std::move(**found);
  }
  if (!running.shim) co_return held_by_another("is gone");
  started_ = running.started->time;
  attempt_->seen_started = true;
  context_.log.info("job adopted", kv("job", id_), kv("shim", running.started->shim.pid));
  attempt_->supervisor = supervisor_ = std::make_shared<os::Fd>(std::move(*running.shim));
  // It may have been canceled by an agent that died before it could say so.
  if (stopping_) co_await stop_supervisor(shim::kStoppedCanceled);
  co_return Came::running;
}

// The claim of its supervisor: for a moment, or for good.
Came Runner::held_by_another(const std::string& supervisor) {
  auto& since = attempt_->unwatched_since;
  if (!since) since = context_.clock.steady();
  if (context_.clock.steady() - *since < kClaimPatience) return Came::running;
  return lost("its supervisor " + supervisor + ", and something else holds its claim");
}

// It is revoked, so that it never will.
Came Runner::never_ran() {
  if (attempt_->seen_started) return lost("what told that it was started was removed");
  // Whose job took its records away, and its supervisor, did run.
  const auto directory = context_.directories.directory(id_, attempt_->launch);
  if (shim::has_processes(directory, attempt_->driver->group_of(id_, attempt_->launch)))
    return lost("processes of it run though nothing tells that it was started");
  attempt_->evidence.condition = shim::NeverRan{};
  return stopping_ ? Came::ended : Came::never_ran;
}

Came Runner::lost(std::string changed) {
  attempt_->evidence.changed = std::move(changed);
  attempt_->evidence.condition = shim::Lost{std::nullopt, false};
  return Came::ended;
}

// Up to the change of the number it may be done again.
Task<> Runner::relaunch() {
  auto& attempt = *attempt_;
  leave_launch();
  if (attempt.adopted)
    context_.log.info("job had not started; starting it", kv("job", id_));
  else
    context_.log.warn("supervisor died before it started the job; trying again", kv("job", id_));
  // Whatever its files tell: no two launches of a job run at once.
  co_await kill_leftovers(attempt.launch, attempt.driver->group_of(id_, attempt.launch));
  co_await attempt.driver->settle(launch_id(attempt.launch), attempt.evidence.condition);
  const auto before = launch_id(attempt.launch);
  attempt.launch = ++launches_;
  attempt.record.launch = attempt.launch;
  if (!attempt.adopted) ++attempt.tries;
  attempt.adopted = false;
  attempt.recorded = false;
  attempt.supervisor.reset();
  attempt.unwatched_since.reset();
  attempt.seen_started = false;
  co_await context_.leftovers.discard(before);
}

}  // namespace berth::jobs
