// A job's life but for its attempts' way, which launch.cpp and settle.cpp go: its preparation, the preparation of a
// launch, what a launch leaves, and the job's end. Every function here may be overtaken by a cancellation at a
// co_await, so each looks at the job again afterwards.

#include <condition_variable>
#include <mutex>
#include <thread>

#include "agent/jobs/jobs.hpp"
#include "agent/jobs/launching.hpp"
#include "agent/jobs/persist.hpp"
#include "runtime/async/deadline.hpp"
#include "runtime/os/file.hpp"

namespace berth::jobs {
namespace {

constexpr auto kLastStrips = std::chrono::seconds(2);
constexpr std::chrono::milliseconds kFirstStripPause{500};
constexpr std::chrono::milliseconds kLongestStripPause{600'000};
constexpr std::chrono::milliseconds kFirstPreparationPause{200};
constexpr std::chrono::milliseconds kLongestPreparationPause{60'000};

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
    const auto read_job = co_await read(sequence);
    const auto& job = *read_job;
    if (!current()) co_return;
    auto materialized = co_await materialize(job);
    if (find(sequence) == nullptr) environments_.release(sequence);  // canceled just when it was there
    if (!current()) co_return;
    if (materialized.error && note_outage(sequence, *materialized.error)) {
      const auto outage = find(sequence)->outage;
      co_await sit_out(outage);
      continue;
    }
    find(sequence)->outage.reset();
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
  Materialized result;
  const auto known = co_await async::attempt(identity_of(job.uid));
  if (!known) {
    result.failure = model::StartFailed{125, known.error().describe()};
    result.error = known.error();
    co_return result;
  }
  const auto& identity = *known;
  if (job.request.snapshot) {
    const auto code = co_await async::attempt(prepare_code(job, identity));
    if (!code) {
      result.failure = ending_by<model::SnapshotFailed>(code.error());
      result.error = code.error();
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
  else {
    result.error = co_await masks_.hide(environment.error(), secrets, job.uid);
    result.failure = environment_failed(job, *result.error);
  }
  co_return result;
}

Task<> Jobs::prepare_code(const model::Job& job, const os::Identity& identity) {
  struct Count {
    explicit Count(std::size_t& of) : all(of) { ++all; }
    Count(const Count&) = delete;
    Count& operator=(const Count&) = delete;
    ~Count() { --all; }
    std::size_t& all;
  } const count(preparing_);
  disk::Transit::Charge room;
  for (;;) {
    auto work = [&](const std::stop_token&) { return directories_.prepare(job, identity, room.bytes()); };
    const auto needed = co_await async::offload(lanes_.preparing, job.uid, work);
    if (!needed) co_return;
    room = co_await room_for(job.uid, *needed);
  }
}

Task<disk::Transit::Charge> Jobs::room_for(uid_t uid, std::uint64_t bytes) {
  auto charge = co_await quota_.files(uid, bytes);
  co_await disk_.make_room(ByteSize(bytes));
  co_return charge;
}

// The record of who canceled may come later than what came of it.
std::string Jobs::canceled_by(Sequence sequence) {
  const auto by = canceled_by_.find(sequence);
  return by != canceled_by_.end() ? by->second : columns(sequence).canceled_by;
}

model::Attempt Jobs::canceled_attempt(Sequence sequence, int attempt, int launch) {
  model::Attempt canceled;
  canceled.number = attempt;
  canceled.launch = launch;
  canceled.ending = model::Canceled{canceled_by(sequence)};
  return canceled;
}

Task<> Jobs::prepare_launch(Sequence sequence, int launch, std::shared_ptr<PreparedLaunch> prepared) {
  const auto made = co_await async::attempt(fill_launch(sequence, launch, *prepared));
  if (!made) prepared->failure = made.error();
  prepared->ready = true;
  prepared->done.notify_all();
}

Task<> Jobs::fill_launch(Sequence sequence, int launch, PreparedLaunch& prepared) {
  if (find(sequence)->stopping) co_return;
  const auto identity = co_await identity_of(prepared.job->uid);
  prepared.without_secrets = true;
  prepared.secrets = co_await secrets_of(*prepared.job);
  prepared.without_secrets = false;
  auto complete = [&] {
    prepared.whole = *prepared.job;
    model::put_back(prepared.whole.request, prepared.secrets);
  };
  co_await async::offload(pool_, complete);
  const auto& job = prepared.whole;
  auto make = [&] { prepared.site = directories_.make(job, launch, identity); };
  auto make_copy = [&](const std::stop_token&) { make(); };
  auto measure = [&](const std::stop_token&) { return directories_.bytes_of(*job.request.snapshot); };
  if (job.request.snapshot && !directories_.overlays()) {
    const auto bytes = co_await async::offload(lanes_.preparing, job.uid, measure);
    const auto room = co_await room_for(job.uid, bytes);
    co_await async::offload(lanes_.preparing, job.uid, make_copy);
  } else if (job.request.snapshot) {
    co_await async::offload(pool_, make);
  } else {
    make();
  }
  prepared.site.gpus = find(sequence)->gpus;
  if (settings_.switch_user) prepared.site.devices = gpus_.ledger().rules_for(prepared.site.gpus);
  if (job.request.environment.kind != model::EnvironmentRequest::Kind::none) {
    auto ready = co_await async::attempt(environments_.for_launch(job, identity, prepared.secrets.registries));
    if (!ready) {
      const auto failure = co_await masks_.hide(ready.error(), prepared.secrets, job.uid);
      throw failure;
    }
    prepared.environment = std::move(*ready);
  }
  const drivers::LaunchId which{job.id, job.uid, launch};
  co_await drivers_.of(job.request).prepare(which, job, prepared.environment, identity, prepared.site);
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
  if (!back)
    directories_.remark(id, "processes of the job still have memory on its GPUs, which are withheld until it is back");
  find(sequence)->gpus.clear();
  const auto stay = gpus_.give_back(id);
  if (!stay) co_return;
  attempt.usage.gpu_time = attempt.duration ? *attempt.duration * held : stay->usage.gpu_time;
  attempt.usage.gpu_peak_memory = stay->usage.peak_memory;
  if (stay->failure && may_be_its_gpus(*attempt.ending)) attempt.ending = *stay->failure;
}

// Before anything else of the launch goes.
Task<> Jobs::look_at_environment(const model::Job& job, int launch, model::Attempt& attempt) {
  const auto changed = co_await environments_.was_changed(job);
  if (changed) attempt.environment_changes.emplace().shared = *changed;
  if (changed || !directories_.has_layer(job.id, launch)) co_return;
  auto look = [&](const std::stop_token&) {
    attempt.environment_changes = directories_.environment_changes(job.id, launch);
  };
  co_await async::offload(lanes_.collecting, job.uid, look);
}

// Nobody has to wait for it; what an agent that ends meanwhile leaves, the next one clears away.
Task<> Jobs::strip(drivers::LaunchId launch, drivers::Driver& driver, environment::Lease environment) {
  co_await driver.clean(launch);
  environment = {};
  std::uint64_t log_bytes = 0;
  os::Removal removal;
  auto work = [&](const std::stop_token& stop) {
    log_bytes = directories_.log_bytes(launch.job, launch.number);
    removal = directories_.strip(launch.job, launch.number, stop);
  };
  const auto not_done = stripping_.emplace(stripping_.end(), launch.job, launch.number);
  co_await async::offload(lanes_.removing, launch.owner, work);
  if (!nursery_.stopping()) stripping_.erase(not_done);
  disk_.job_ended(log_bytes);
  if (removal.left > 0) co_await strip_again(launch.job, launch.owner, launch.number, std::move(removal));
}

Task<> Jobs::strip_again(model::JobId id, async::Lanes::Owner owner, int launch, os::Removal left) {
  directories_.remark(
      id, "what it left cannot be removed: " + std::to_string(left.left) + " entries; " + left.first_failure);
  log_.warn("what a job left cannot be removed now", kv("job", id), kv("entries", left.left),
            kv("error", left.first_failure));
  async::Backoff pause(kFirstStripPause, kLongestStripPause);
  auto work = [&](const std::stop_token& stop) { left = directories_.strip_up_to(id, launch, stop); };
  while (left.left > 0) {
    co_await async::sleep_for(pause.next());
    co_await async::offload(lanes_.removing, owner, work);
  }
}

// What a moment is enough for. The next agent does the rest.
void Jobs::strip_the_last() noexcept {
  std::stop_source enough;
  const auto wait = [&](const std::stop_token& done) {
    std::mutex mutex;
    std::unique_lock lock(mutex);
    std::condition_variable_any never;
    never.wait_for(lock, done, kLastStrips, [] { return false; });
    enough.request_stop();
  };
  try {
    const std::jthread timer(wait);
    for (const auto& [id, launch] : stripping_) directories_.strip(id, launch, enough.get_token());
  } catch (const std::exception&) {
    log_.warn("what ended jobs left stays until the agent starts again");
  }
  stripping_.clear();
}

Task<> Jobs::strip_attempt(model::JobId id, uid_t uid, int launch) {
  os::Removal removal;
  auto work = [&](const std::stop_token& stop) { removal = directories_.strip(id, launch, stop); };
  co_await async::offload(lanes_.removing, uid, work);
  if (removal.left > 0) co_await strip_again(std::move(id), uid, launch, std::move(removal));
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

}  // namespace berth::jobs
