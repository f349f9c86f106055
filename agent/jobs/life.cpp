// One job's life: prepared, started, watched, recorded. Every function here may be overtaken by a cancellation at a
// co_await, so each looks at the job again afterwards.

#include "agent/jobs/jobs.hpp"
#include "agent/jobs/persist.hpp"
#include "agent/jobs/secret_masks.hpp"
#include "runtime/async/deadline.hpp"
#include "runtime/os/file.hpp"

namespace berth::jobs {
namespace {

constexpr std::size_t kPreparedAtOnce = 2;
constexpr int kLaunchTries = 3;
constexpr auto kClaimPause = std::chrono::milliseconds(5);
constexpr std::chrono::milliseconds kFirstPreparationPause{200};
constexpr std::chrono::milliseconds kLongestPreparationPause{60'000};

bool collects_outputs(const model::Job& job) { return job.request.snapshot || !job.request.outputs.empty(); }

template <class Failed>
model::Ending preparation_failed(const Error& error) {
  if (error.code() == Code::no_space) return model::DiskFull{error.describe()};
  return Failed{error.describe()};
}

model::Ending environment_failed(const model::Job& job, const Error& error) {
  if (model::in_container(job.request.environment)) return preparation_failed<model::ImageFailed>(error);
  return preparation_failed<model::EnvironmentFailed>(error);
}

// How often attempts of this job have ended for this cause, the one just ended included.
int times_ended(const model::Job& job, const model::Attempt& last, std::string_view cause) {
  int times = 1;
  for (const auto& attempt : job.attempts)
    if (attempt.number != last.number && attempt.ending && model::retry_cause(*attempt.ending) == cause) ++times;
  return times;
}

bool wants_retry(const model::Job& job, const model::Attempt& last) {
  const auto cause = model::retry_cause(*last.ending);
  const auto allowed = job.request.retries.find(std::string(cause));
  return !cause.empty() && allowed != job.request.retries.end() &&
         times_ended(job, last, cause) <= allowed->second;
}

// Then nothing more has to be known of its container, whose end and removal take many milliseconds.
bool ended_well(const shim::Condition& condition) {
  const auto* over = std::get_if<shim::Over>(&condition);
  if (over == nullptr || !over->ended.stopped_because.empty()) return false;
  const auto* exit = std::get_if<os::Exit>(&over->ended.outcome);
  return exit != nullptr && !exit->signalled && exit->status == 0;
}

model::State final_state(const model::Ending& ending) {
  if (std::holds_alternative<model::Canceled>(ending)) return model::State::canceled;
  return model::succeeded(ending) ? model::State::completed : model::State::failed;
}

}  // namespace

Task<> Jobs::prepare(Sequence sequence, unsigned life) {
  const auto current = [&] {
    const auto* live = find(sequence);
    return live != nullptr && live->life == life && !live->stopping;
  };
  async::Backoff pause(kFirstPreparationPause, kLongestPreparationPause);
  store::Prepared prepared;
  for (;;) {
    if (!current()) co_return;
    auto job = record(sequence);
    auto materialized = co_await materialize(job);
    if (!current()) co_return;
    if (!materialized.failure) {
      prepared.environment_record = std::move(materialized.environment.record);
      if (materialized.environment.digest != Digest{}) prepared.environment = materialized.environment.digest;
      break;
    }
    model::Attempt failed;
    failed.number = job.attempts.empty() ? 1 : job.attempts.back().number + 1;
    failed.ending = std::move(*materialized.failure);
    if (!wants_retry(job, failed)) co_return co_await end_unprepared(sequence, std::move(failed));
    log_.info("job could not be prepared; it will be retried", kv("job", job.id),
              kv("ending", model::to_words(*failed.ending)));
    const auto again = [&] { return store_.requeue(sequence, failed, model::State::preparing); };
    const auto written = co_await async::attempt(persist(again, "a retry"));
    if (!current()) co_return;
    if (!written) throw written.error();
    co_await async::sleep_for(pause.next());
  }
  const auto done = [&] { return store_.prepared(sequence, prepared); };
  const auto written = co_await async::attempt(persist(done, "a preparation"));
  if (!current()) co_return;
  if (!written) throw written.error();
  enter(sequence, model::State::queued);
  queue_.set_ready(sequence, true);
  schedule();
}

Task<> Jobs::end_unprepared(Sequence sequence, model::Attempt failed) {
  find(sequence)->stopping = true;
  queue_.remove(sequence);
  const auto ending = *failed.ending;
  co_await end(sequence, std::move(failed), ending);
  schedule();
}

Task<Jobs::Materialized> Jobs::materialize(model::Job job) {
  const auto identity = identity_of(job);
  Materialized result;
  if (job.request.snapshot) {
    const auto code = co_await async::attempt(prepare_code(job, identity));
    if (!code) {
      result.failure = preparation_failed<model::SnapshotFailed>(code.error());
      co_return result;
    }
  }
  model::JobSecrets secrets;
  auto ensure = [&]() -> Task<environment::Ready> {
    const bool wanted = job.request.environment.kind != model::EnvironmentRequest::Kind::none;
    if (wanted) secrets = co_await secrets_of(job);
    model::put_back(job.request, secrets);
    co_return co_await environments_.ensure(job, identity, secrets.registries);
  };
  auto environment = co_await async::attempt(ensure());
  if (environment)
    result.environment = std::move(*environment);
  else
    result.failure = environment_failed(job, masked(environment.error(), secrets));
  co_return result;
}

// A few at a time, lest they slow each other.
Task<> Jobs::prepare_code(const model::Job& job, const os::Identity& identity) {
  while (preparing_ >= kPreparedAtOnce) co_await prepared_.wait();
  ++preparing_;
  auto work = [&] { workplaces_.prepare(job, identity); };
  const auto done = co_await async::attempt(async::offload(pool_, work));
  --preparing_;
  prepared_.notify_all();
  if (!done) throw done.error();
}

Task<> Jobs::run(Sequence sequence, int attempt, int launch) {
  const auto result = co_await async::attempt(launch_and_watch(sequence, attempt, launch));
  if (result || find(sequence) == nullptr) co_return;
  // Nothing of it runs: starting failed before a supervisor was there.
  if (find(sequence)->stopping) {  // a cancellation was on record before the start
    auto canceled = canceled_attempt(sequence, attempt, launch);
    co_return co_await finish(sequence, std::move(canceled), launch);
  }
  log_.error("job cannot be run", kv("job", find(sequence)->id), kv("error", result.error().describe()));
  model::Attempt failed;
  failed.number = attempt;
  failed.launch = launch;
  if (result.error().code() == Code::no_space)
    failed.ending = model::DiskFull{result.error().describe()};
  else
    failed.ending = model::StartFailed{125, result.error().describe()};
  co_await finish(sequence, std::move(failed), launch);
}

Task<> Jobs::launch_and_watch(Sequence sequence, int attempt, int launch) {
  for (int tries = 1;; ++tries, ++launch) {
    store::StartIntent intent;
    intent.sequence = sequence;
    intent.attempt = attempt;
    intent.launch = launch;
    intent.boot_id = settings_.boot_id;
    intent.gpus = find(sequence)->gpus;
    const auto ground = std::make_shared<Ground>();
    nursery_.spawn(lay_ground(sequence, launch, ground));
    co_await persist([&] { return store_.start_intent(intent); }, "a start");
    while (!ground->laid) co_await ground->done.wait();
    if (ground->failure) {  // what was prepared is there no more
      const auto job = record(sequence);
      if (!needs_preparation(job.request) || ground->without_secrets) throw *ground->failure;
      model::Attempt failed;
      failed.number = attempt;
      failed.launch = launch;
      failed.ending = job.request.environment.kind == model::EnvironmentRequest::Kind::none
                          ? preparation_failed<model::SnapshotFailed>(*ground->failure)
                          : environment_failed(job, *ground->failure);
      co_return co_await finish(sequence, std::move(failed), launch);
    }
    const auto supervisor = co_await start_supervisor(sequence, attempt, launch, ground);
    if (!supervisor) {  // canceled before it could start
      auto canceled = canceled_attempt(sequence, attempt, launch);
      co_return co_await finish(sequence, std::move(canceled), launch);
    }
    const auto directory = workplaces_.directory(find(sequence)->id, launch);
    auto condition = co_await outcome(directory, supervisor->pidfd.get());
    if (!std::holds_alternative<shim::NeverRan>(condition) || tries == kLaunchTries)
      co_return co_await settle(sequence, attempt, launch, std::move(condition));
    log_.warn("supervisor died before it started the job; trying again", kv("job", find(sequence)->id));
    if (ground->site.container) co_await leave_container(find(sequence)->id, launch, condition);
    workplaces_.discard(find(sequence)->id, launch);
  }
}

model::Attempt Jobs::canceled_attempt(Sequence sequence, int attempt, int launch) {
  const auto by = canceled_by_.find(sequence);
  model::Attempt canceled;
  canceled.number = attempt;
  canceled.launch = launch;
  canceled.ending = model::Canceled{by != canceled_by_.end() ? by->second : record(sequence).canceled_by};
  return canceled;
}

Task<> Jobs::lay_ground(Sequence sequence, int launch, std::shared_ptr<Ground> ground) {
  const auto made = co_await async::attempt(make_ground(sequence, launch, *ground));
  if (!made) ground->failure = made.error();
  ground->laid = true;
  ground->done.notify_all();
}

Task<> Jobs::make_ground(Sequence sequence, int launch, Ground& ground) {
  if (find(sequence)->stopping) co_return;
  auto job = record(sequence);
  const auto identity = identity_of(job);
  ground.without_secrets = true;
  ground.secrets = co_await secrets_of(job);
  ground.without_secrets = false;
  model::put_back(job.request, ground.secrets);
  auto make = [&] { ground.site = workplaces_.make(job, launch, identity); };
  if (job.request.snapshot)
    co_await async::offload(pool_, make);
  else
    make();
  ground.site.gpus = find(sequence)->gpus;
  if (settings_.switch_user) ground.site.devices = gpus_.ledger().rules_for(ground.site.gpus);
  if (job.request.environment.kind != model::EnvironmentRequest::Kind::none)
    {
    auto ready = co_await async::attempt(environments_.for_launch(job, identity, ground.secrets.registries));
    if (!ready) throw masked(ready.error(), ground.secrets);
    ground.environment = std::move(*ready);
  }
  if (ground.environment.image.empty()) co_return;
  ground.site.container = true;
  if (job.request.container.shm_size) ground.site.shm_size = *job.request.container.shm_size;
  ground.site.docker_args = {job.request.container.docker_args};
  auto look = [&] { return containers_.image(ground.environment.image); };
  const auto image = co_await async::offload(pool_, look);
  ground.site.image_environment = image.environment;
  ground.site.image_directory = image.working_directory;
}

// Nothing when the job was canceled meanwhile.
Task<std::optional<shim::Supervisor>> Jobs::start_supervisor(Sequence sequence, int attempt, int launch,
                                                       std::shared_ptr<Ground> ground) {
  auto* live = find(sequence);
  if (live->stopping) co_return std::nullopt;
  auto job = record(sequence);
  const auto shown_command = job.request.command;
  model::put_back(job.request, ground->secrets);
  const auto identity = identity_of(job);
  auto& site = ground->site;
  if (!settings_.cgroup_base.empty() && !os::exists(settings_.cgroup_base)) {
    auto renew = [&] { settings_.renew_cgroup_base(); };
    co_await async::offload(pool_, renew);
    live = find(sequence);
    if (live->stopping) co_return std::nullopt;
  }
  if (!settings_.cgroup_base.empty() && !site.container) site.cgroup = settings_.cgroup_base + "/" + job.id + "-" + std::to_string(launch);
  shim::Launch plan;
  try {
    plan = plan_launch(job, attempt, site, ground->environment, identity, settings_.switch_user, settings_.defaults);
  } catch (const Error& error) {  // which may repeat what is secret of docker_args
    throw masked(error, ground->secrets);
  }
  if (!ground->secrets.empty()) set_secrets_apart(plan, job.request, shown_command, site, ground->secrets);
  std::optional<shim::Supervisor> supervisor;
  const auto directory = workplaces_.directory(job.id, launch);
  if (site.container) {
    auto start = [&] { return containers_.launch(job.id, launch, directory, plan, site, ground->environment.image); };
    supervisor = co_await async::offload(pool_, start);
    live = find(sequence);
  } else {
    supervisor = launcher_.launch(directory, plan);
  }
  live->launch = launch;
  live->started = clock_.now();
  enter(sequence, live->state);  // for those who wait for the launch
  log_.info("job started", kv("job", job.id), kv("attempt", attempt), kv("shim", supervisor->pid));
  if (live->stopping) co_await stop_supervisor(sequence, shim::kStoppedCanceled);
  co_return supervisor;
}

// What became of the launch, once the supervisor has written it, or is gone. It needs many milliseconds more to exit,
// which nobody has to wait for.
Task<shim::Condition> Jobs::outcome(std::string directory, int supervisor) {
  auto ended = watcher_.appearance(os::join(directory, shim::kEndingFile));
  auto gone = async::readable(supervisor);
  co_await async::run_until(std::move(ended), std::move(gone));
  auto condition = shim::inspect(directory);
  // A supervisor that was killed just when it started the job leaves the claim to a child that is about to end.
  while (std::holds_alternative<shim::Running>(condition)) {
    co_await async::sleep_for(kClaimPause);
    condition = shim::inspect(directory);
  }
  co_return condition;
}

// For a supervisor that an earlier agent started.
Task<> Jobs::watch(Sequence sequence, int attempt, int launch, os::Fd supervisor) {
  const auto directory = workplaces_.directory(find(sequence)->id, launch);
  auto condition = co_await outcome(directory, supervisor.get());
  co_await settle(sequence, attempt, launch, std::move(condition));
}

Task<std::optional<os::Fd>> Jobs::supervisor_inside(model::JobId id, int launch) {
  auto look = [&] { return containers_.supervisor(id, launch); };
  co_return co_await async::offload(pool_, look);
}

Task<> Jobs::leave_container(model::JobId id, int launch, shim::Condition& condition) {
  bool out_of_memory = false;
  auto leave = [&] { out_of_memory = remove_container(id, launch); };
  co_await async::offload(pool_, leave);
  if (auto* over = std::get_if<shim::Over>(&condition); over != nullptr && out_of_memory)
    over->ended.out_of_memory_kills = std::max<std::uint64_t>(over->ended.out_of_memory_kills, 1);
}

// Whether the kernel killed something of it for want of memory. What cannot be removed, the next agent sweeps.
bool Jobs::remove_container(const model::JobId& id, int launch) noexcept {
  try {
    return containers_.remove(id, launch).out_of_memory;
  } catch (const std::exception&) {
    const auto why = error_from(std::current_exception()).describe();
    log_.error("a job's container cannot be removed", kv("job", id), kv("error", why));
    workplaces_.remark(id, "its container cannot be removed: " + why);
    return false;
  }
}

// The supervisor has ended: what became of the job?
Task<> Jobs::settle(Sequence sequence, int attempt, int launch, shim::Condition condition) {
  auto job = record(sequence);
  const bool contained = model::in_container(job.request.environment);
  if (contained && !ended_well(condition)) co_await leave_container(job.id, launch, condition);
  // The supervisor may be quicker than the record of who canceled.
  if (const auto by = canceled_by_.find(sequence); by != canceled_by_.end()) job.canceled_by = by->second;
  model::Attempt record_of;
  record_of.number = attempt;
  record_of.launch = launch;
  if (const auto* over = std::get_if<shim::Over>(&condition)) {
    const auto& ended = over->ended;
    record_of.started = ended.started;
    record_of.ended = ended.ended;
    record_of.duration = ended.duration;
    record_of.usage = usage_of(ended);
    record_of.ending = ending_of(ended, job);
    // No engine lets the kernel end all of a container at once.
    if (contained && ended.out_of_memory_kills > 0 && !std::holds_alternative<model::OutOfMemory>(*record_of.ending))
      workplaces_.remark(job.id, "a process of it, not the job itself, was ended by the kernel for want of memory");
    for (const auto& remark : ended.remarks) workplaces_.remark(job.id, remark);
  } else if (const auto* lost = std::get_if<shim::Lost>(&condition)) {
    if (lost->started) record_of.started = lost->started->time;
    record_of.ending = model::Lost{lost->rebooted ? model::Lost::Cause::reboot
                                   : contained    ? model::Lost::Cause::container_ended
                                                  : model::Lost::Cause::shim_killed};
    co_await kill_leftovers(job.id, workplaces_.directory(job.id, launch));
  } else {
    record_of.ending = model::StartFailed{125, "its supervisor could not be started; the agent's log tells more"};
  }
  co_await finish(sequence, std::move(record_of), launch);
}

Task<> Jobs::kill_leftovers(model::JobId id, std::string directory) {
  if (!os::exists(directory)) co_return;
  auto kill = [&] { shim::kill_leftovers(directory); };
  const auto killed = co_await async::attempt(async::offload(pool_, kill));
  if (killed) co_return;
  log_.error("processes of a lost job are left", kv("job", id), kv("error", killed.error().describe()));
  workplaces_.remark(id, "processes of the job are left: " + killed.error().describe());
}

// What a program does whose GPU has gone: it fails, is killed, or hangs.
bool may_be_its_gpus(const model::Ending& ending) {
  return (std::holds_alternative<model::Exited>(ending) && !model::succeeded(ending)) ||
         std::holds_alternative<model::Signalled>(ending) || std::holds_alternative<model::TimedOut>(ending);
}

Task<> Jobs::give_back_gpus(Sequence sequence, model::Attempt& attempt) {
  const auto id = find(sequence)->id;
  const auto held = find(sequence)->gpus.size();
  if (held == 0) co_return;
  const bool back = co_await gpus_.memory_back(id);
  if (!back) workplaces_.remark(id, "processes of the job still have memory on its GPUs, which are withheld until it is back");
  find(sequence)->gpus.clear();
  const auto stay = gpus_.give_back(id);
  if (!stay) co_return;
  attempt.usage.gpu_time = attempt.duration ? *attempt.duration * held : stay->usage.gpu_time;
  attempt.usage.gpu_peak_memory = stay->usage.peak_memory;
  if (stay->failure && may_be_its_gpus(*attempt.ending)) attempt.ending = *stay->failure;
}

Task<> Jobs::finish(Sequence sequence, model::Attempt attempt, int launch) {
  co_await give_back_gpus(sequence, attempt);
  queue_.finish(sequence);
  schedule();
  const auto job = record(sequence);
  if (collects_outputs(job) && attempt.started) {
    enter(sequence, model::State::finalizing);
    co_await persist([&] { return store_.ended(sequence, attempt); }, "an ending");
  }
  co_await finalize(sequence, std::move(attempt), launch);
}

// The last step of an attempt, repeated after a crash: outputs, then the record, then the directory.
Task<> Jobs::finalize(Sequence sequence, model::Attempt attempt, int launch) {
  const auto job = record(sequence);
  std::optional<objects::Store::Hold> hold;
  if (collects_outputs(job) && attempt.started) {
    auto held = co_await gather_outputs(job, launch, attempt);
    if (held) hold.emplace(std::move(*held));
  }
  auto* live = find(sequence);
  if (!live->stopping && wants_retry(job, attempt)) {
    log_.info("job attempt ended; it will be retried", kv("job", job.id),
              kv("ending", model::to_words(*attempt.ending)));
    co_await persist([&] { return store_.requeue(sequence, attempt, model::State::queued); }, "a retry");
    workplaces_.strip(job.id, launch);
    live = find(sequence);
    live->launch = 0;
    live->started.reset();
    queue_.add(queue_entry(job, true));
    enter(sequence, model::State::queued);
    co_return schedule();
  }
  const auto ending = *attempt.ending;
  std::optional<environment::Lease> image;  // which nobody may remove before the container
  if (model::in_container(job.request.environment)) image = environments_.lease_of(sequence);
  co_await end(sequence, std::move(attempt), ending);
  nursery_.spawn(strip(job.id, launch, std::move(image)));
}

// Nobody has to wait for it; what an agent that dies meanwhile leaves, the next one clears away.
Task<> Jobs::strip(model::JobId id, int launch, std::optional<environment::Lease> image) {
  bool done = false;
  std::uint64_t log_bytes = 0;
  // Of earlier launches, too: an engine may have begun with one just when its agent died.
  auto leave = [&] {
    for (int each = launch; each > 0; --each) remove_container(id, each);
  };
  auto work = [&] {
    workplaces_.strip(id, launch);
    log_bytes = workplaces_.log_bytes(id, launch);
    done = true;
  };
  std::exception_ptr stopped;
  try {
    if (image) co_await async::offload(pool_, leave);
    image.reset();
    co_await async::offload(pool_, work);
  } catch (...) {
    stopped = std::current_exception();
  }
  if (!done) work();
  governor_.job_ended(log_bytes);
  if (stopped) std::rethrow_exception(stopped);
}

Task<> Jobs::end(Sequence sequence, std::optional<model::Attempt> attempt, model::Ending ending) {
  store::Final final;
  final.sequence = sequence;
  final.state = final_state(ending);
  final.ending = ending;
  final.finished = clock_.now();
  final.attempt = std::move(attempt);
  co_await persist([&] { return store_.finalized(final); }, "an ending");
  log_.info("job ended", kv("job", find(sequence)->id), kv("ending", model::to_words(ending)));
  ++(final.state == model::State::completed  ? ended_.completed
     : final.state == model::State::canceled ? ended_.canceled
                                             : ended_.failed);
  forget(sequence);
}

Task<> Jobs::stop_supervisor(Sequence sequence, std::string reason) {
  const auto* live = find(sequence);
  if (live == nullptr || live->launch == 0) co_return;
  const auto job = record(sequence);
  shim::Stop stop;
  stop.signal = job.request.stop.signal;
  stop.grace = job.request.stop.grace.value_or(settings_.defaults.stop_grace);
  stop.reason = std::move(reason);
  const auto directory = workplaces_.directory(job.id, live->launch);
  const auto request = [&]() -> Task<> {
    // Without a directory nobody runs there, and nobody will: who would start it looks for the cancellation.
    if (os::exists(directory)) shim::request_stop(directory, stop);
    co_return;
  };
  co_await persist(request, "a stop");
}

}  // namespace berth::jobs
