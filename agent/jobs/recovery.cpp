// After a restart of the agent or of the machine: every live job is taken up in the state that the disk tells.

#include <set>

#include "agent/jobs/jobs.hpp"
#include "agent/jobs/persist.hpp"
#include "runtime/os/errand.hpp"
#include "runtime/os/file.hpp"

namespace berth::jobs {
namespace {

bool waits(model::State state) { return state == model::State::preparing || state == model::State::queued; }

queue::Entry entry_of(const store::LiveJob& job) {
  queue::Entry entry{job.sequence, job.resources, job.priority, job.held, job.state != model::State::preparing,
                     std::nullopt};
  if (job.timeout) entry.limit = *job.timeout + job.grace;
  return entry;
}

// A supervisor that holds its claim but has not said yet that it started: it will within moments.
constexpr auto kStartingPause = std::chrono::milliseconds(5);

constexpr auto kAgentsOwn = ~async::Lanes::Owner{0};

// While a launch cannot be read.
constexpr auto kLongestLookPause = std::chrono::milliseconds(5000);

// The agent may have died between its intent and the directory; after a reboot even that proves nothing, since
// directories are not synced.
shim::Condition inspect_launch(const std::string& directory, const std::string& boot_id) {
  if (os::exists(directory)) return shim::inspect(directory, boot_id);
  if (boot_id == os::boot_id()) return shim::NeverRan{};
  return shim::Lost{std::nullopt, true};
}

}  // namespace

Task<> Jobs::recover() {
  queue_.set_drained(store_.drained());
  Gpus::Listener listener;
  listener.changed = [this](std::vector<queue::Device> devices) { take_devices(std::move(devices)); };
  listener.failed = [this](const model::JobId& job, const model::GpuError& failure) { note_gpu_failure(job, failure); };
  co_await gpus_.start(std::move(listener));
  std::size_t waiting = 0;
  std::size_t running = 0;
  for (auto& job : store_.live()) {
    if (job.environment) co_await environments_.hold_again(job.sequence, *job.environment);
    admit(job.sequence, job.id, job.state, entry_of(job));
    if (waits(job.state)) {
      ++waiting;
      continue;
    }
    ++running;
    auto& live = live_[job.sequence];
    live.gpus = job.gpus;
    live.launch = job.launch;
    live.stopping = job.state == model::State::cancel_requested;
    if (job.state == model::State::finalizing) {
      queue_.remove(job.sequence);
      nursery_.spawn(finalize_again(job.sequence, job.launch));
    } else {
      queue_.start(job.sequence, clock_.steady(), job.gpus);
      if (!job.gpus.empty()) gpus_.hold(job.id, job.gpus);
      nursery_.spawn(resume(std::move(job)));
    }
  }
  if (waiting + running > 0)
    log_.info("jobs taken up again", kv("waiting", static_cast<std::uint64_t>(waiting)),
              kv("running", static_cast<std::uint64_t>(running)));
  sweep_credentials();
  std::set<model::JobId> live;
  for (const auto& [sequence, job] : live_) live.insert(job.id);
  auto ended = workplaces_.list();
  std::erase_if(ended, [&](const model::JobId& id) { return live.contains(id); });
  unswept_.insert(ended.begin(), ended.end());
  nursery_.spawn(sweep_workplaces(std::move(ended)));
  launcher_.prepare(settings_.cgroup_base.empty() ? "" : settings_.cgroup_base + "/any");
  schedule();
  co_return;
}

// An agent that died between recording an ending and cleaning up left that to this one. `ended` is from before any
// job could come into being or be retried. Each in its owner's lane: what one left keeps nobody else waiting.
Task<> Jobs::sweep_workplaces(std::vector<model::JobId> ended) {
  auto sweep_errands = [&](const std::stop_token&) { os::remove_left_errands(settings_.cgroup_base); };
  co_await async::offload(lanes_.removing, kAgentsOwn, sweep_errands);
  for (const auto& [id, launch] : store_.past_launches(0))  // of jobs that go on
    if (const auto job = store_.find(id)) nursery_.spawn(strip_attempt(id, job->uid, launch));
  auto look = [&](const std::stop_token& stop) { return workplaces_.with_leftovers(ended, stop); };
  const auto left = co_await async::offload(lanes_.removing, kAgentsOwn, look);
  unswept_ = std::set<model::JobId>(left.begin(), left.end());
  swept_now_.notify_all();
  for (auto& id : left) nursery_.spawn(sweep_workplace(id));
  const auto swept = co_await async::attempt(sweep_containers());
  if (!swept && swept.error().code() != Code::unavailable)
    log_.warn("containers of ended jobs may be left", kv("error", swept.error().describe()));
  swept_containers_ = true;
  swept_now_.notify_all();
}

Task<> Jobs::sweep_workplace(model::JobId id) {
  const auto job = store_.find(id);
  const auto owner = job ? async::Lanes::Owner{job->uid} : kAgentsOwn;
  auto sweep = [&](const std::stop_token& stop) { workplaces_.strip(id, stop); };
  const auto done = co_await async::attempt(async::offload(lanes_.removing, owner, sweep));
  if (!done) log_.warn("what an ended job left stays", kv("job", id), kv("error", done.error().describe()));
  unswept_.erase(id);
  swept_now_.notify_all();
}

Task<> Jobs::sweep_containers() {
  auto look = [&] { return containers_.list(); };
  auto left = co_await async::offload(pool_, look);
  std::set<model::JobId> live;
  for (const auto& [sequence, job] : live_) live.insert(job.id);
  std::erase_if(left, [&](const Containers::Left& each) { return live.contains(each.job); });
  auto remove = [&] { containers_.remove(left); };
  if (!left.empty()) co_await async::offload(pool_, remove);
}

Task<> Jobs::resume(store::LiveJob job) {
  const auto directory = workplaces_.directory(job.id, job.launch);
  const auto sequence = job.sequence;
  for (;;) {
    auto found = co_await readable_condition(job, directory);
    if (!found) {
      auto canceled = canceled_attempt(sequence, job.attempt, job.launch);
      co_return co_await finish(sequence, std::move(canceled), job.launch);
    }
    auto condition = std::move(*found);
    if (auto* running = std::get_if<shim::Running>(&condition)) {
      if (!running->started) {
        co_await async::sleep_for(kStartingPause);
        continue;
      }
      find(sequence)->started = running->started->time;
      log_.info("job adopted", kv("job", job.id), kv("shim", running->started->shim.pid));
      // It may have been canceled by an agent that died before it could say so.
      if (find(sequence)->stopping) co_await stop_supervisor(sequence, shim::kStoppedCanceled);
      if (!running->shim) {  // its number is a container's own, or it ended this very moment
        auto inside = co_await async::attempt(supervisor_inside(job.id, job.launch));
        if (inside && *inside) co_return co_await watch(sequence, job.attempt, job.launch, std::move(**inside));
        co_await async::sleep_for(kStartingPause);
        continue;
      }
      co_return co_await watch(sequence, job.attempt, job.launch, std::move(*running->shim));
    }
    if (!std::holds_alternative<shim::NeverRan>(condition))
      co_return co_await settle(sequence, job.attempt, job.launch, std::move(condition));
    if (find(sequence)->stopping) {
      auto canceled = canceled_attempt(sequence, job.attempt, job.launch);
      co_return co_await finish(sequence, std::move(canceled), job.launch);
    }
    log_.info("job had not started; starting it", kv("job", job.id));
    find(sequence)->launch = 0;  // there is nobody to ask to stop
    if (model::in_container(record(sequence).request.environment))
      co_await leave_container(job.id, job.launch, condition);
    workplaces_.discard(job.id, job.launch);
    co_return co_await run(sequence, job.attempt, job.launch + 1);
  }
}

// Waits while the files cannot be read but somebody supervises the job, or while they are for a newer agent to read.
// Nothing when the job was canceled and has ended since.
Task<std::optional<shim::Condition>> Jobs::readable_condition(const store::LiveJob& job, std::string directory) {
  async::Backoff pause(kStartingPause, kLongestLookPause);
  bool told = false;
  bool stopped = false;
  for (;;) {
    std::optional<Error> unreadable;
    try {
      co_return inspect_launch(directory, job.boot_id);
    } catch (const Error& error) {
      unreadable = error;
    }
    if (!std::exchange(told, true)) {
      log_.error("job cannot be taken up", kv("job", job.id), kv("error", unreadable->describe()));
      workplaces_.remark(job.id, "the agent cannot take the job up again; it is left alone: " + unreadable->describe());
    }
    const bool canceled = find(job.sequence)->stopping;
    if (!shim::is_supervised(directory)) {
      if (canceled) co_return std::nullopt;
      if (unreadable->code() != Code::unsupported) co_return shim::Lost{std::nullopt, false};
    } else if (canceled && !std::exchange(stopped, true)) {
      co_await stop_supervisor(job.sequence, shim::kStoppedCanceled);
    }
    co_await async::sleep_for(pause.next());
  }
}

Task<> Jobs::finalize_again(Sequence sequence, int launch) {
  auto attempt = record(sequence).attempts.back();
  co_await finalize(sequence, std::move(attempt), launch);
}

}  // namespace berth::jobs
