// After a restart of the agent or of the machine: every live job is taken up in the state that the disk tells.

#include <unistd.h>

#include <filesystem>
#include <set>

#include "agent/drivers/host.hpp"
#include "agent/jobs/jobs.hpp"
#include "agent/jobs/launching.hpp"
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

// Groups of launches, but for those of live jobs.
std::vector<std::string> groups_left(const std::string& base, const std::set<std::string>& kept) {
  std::vector<std::string> left;
  std::error_code absent;
  if (base.empty()) return left;
  for (const auto& entry : std::filesystem::directory_iterator(base, absent)) {
    const auto name = entry.path().filename().string();
    const auto dash = name.rfind('-');
    const bool is_launch = dash != std::string::npos && dash + 1 < name.size() &&
                           name.find_first_not_of("0123456789", dash + 1) == std::string::npos &&
                           model::is_job_id(std::string_view(name).substr(0, dash));
    if (is_launch && !kept.contains(name)) left.push_back(entry.path().string());
  }
  return left;
}

}  // namespace

Task<> Jobs::recover() {
  queue_.set_drained(store_.drained());
  const auto all_live = [this] {
    std::set<model::JobId> ids;
    for (const auto& [sequence, job] : live_) ids.insert(job.id);
    return ids;
  };
  for (auto* driver : drivers_.all()) driver->begin(all_live);
  const auto begun = co_await async::attempt(store_.begin_events(settings_.boot_id));
  if (!begun) log_.error("events may get numbers of events that were lost", kv("error", begun.error().describe()));
  const auto apart = co_await async::attempt(set_old_secrets_apart());
  if (!apart) log_.error("secrets of earlier jobs are not sealed yet", kv("error", apart.error().describe()));
  gpus::Gpus::Listener listener;
  listener.changed = [this](std::vector<queue::Device> devices) { take_devices(std::move(devices)); };
  listener.failed = [this](const model::JobId& job, const model::GpuError& failure) { note_gpu_failure(job, failure); };
  co_await gpus_.start(std::move(listener));
  std::size_t waiting = 0;
  std::size_t running = 0;
  for (auto& job : store_.live()) {
    if (job.environment) co_await environments_.hold_again(job.sequence, *job.environment, !waits(job.state));
    admit(job.sequence, job.id, job.uid, job.state, entry_of(job));
    if (waits(job.state)) {
      ++waiting;
      continue;
    }
    ++running;
    auto& live = live_[job.sequence];
    live.gpus = job.gpus;
    live.stage = Stage::looking;
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
  const auto live = all_live();
  auto ended = directories_.list();
  std::erase_if(ended, [&](const model::JobId& id) { return live.contains(id); });
  unswept_.insert(ended.begin(), ended.end());
  nursery_.spawn(sweep_directories(std::move(ended)));
  schedule();
  co_return;
}

// An agent that died between recording an ending and cleaning up left that to this one. `ended` is from before any
// job could come into being or be retried. Each in its owner's lane: what one left keeps nobody else waiting.
Task<> Jobs::sweep_directories(std::vector<model::JobId> ended) {
  std::set<std::string> groups;  // of live jobs
  for (const auto& [sequence, job] : live_) groups.insert(drivers::group_name(job.id, job.launch));
  const auto left_groups = groups_left(settings_.cgroup_base, groups);  // before anything is launched
  auto sweep_errands = [&](const std::stop_token&) { os::remove_left_errands(settings_.cgroup_base); };
  co_await async::offload(lanes_.removing, kAgentsOwn, sweep_errands);
  for (const auto& [id, launch] : store_.past_launches(0))  // of jobs that go on
    if (const auto uid = store_.owner_of(id)) nursery_.spawn(strip_attempt(id, *uid, launch));
  auto look = [&](const std::stop_token& stop) { return directories_.with_leftovers(ended, stop); };
  const auto left = co_await async::offload(lanes_.removing, kAgentsOwn, look);
  unswept_ = std::set<model::JobId>(left.begin(), left.end());
  swept_now_.notify_all();
  for (auto& id : left) nursery_.spawn(sweep_directory(id));
  auto sweep_groups = [&](const std::stop_token&) {
    // One with processes in it cannot be removed, and `berth doctor` tells of it.
    for (const auto& group : left_groups) ::rmdir(group.c_str());
  };
  co_await async::offload(lanes_.removing, kAgentsOwn, sweep_groups);
  for (auto* driver : drivers_.all()) {
    const auto swept = co_await async::attempt(driver->sweep());
    if (!swept) log_.warn("what ended jobs left is not cleared away yet", kv("error", swept.error().describe()));
  }
  swept_drivers_ = true;
  swept_now_.notify_all();
}

Task<> Jobs::sweep_directory(model::JobId id) {
  const auto uid = store_.owner_of(id);
  const auto owner = uid ? async::Lanes::Owner{*uid} : kAgentsOwn;
  bool supervised = false;
  int launch = 0;
  os::Removal removal;
  auto sweep = [&](const std::stop_token& stop) {
    supervised = directories_.is_supervised(id);
    launch = directories_.last_launch(id);
    if (!supervised) removal = directories_.strip_up_to(id, launch, stop);
  };
  const auto done = co_await async::attempt(async::offload(lanes_.removing, owner, sweep));
  if (!done) log_.warn("what an ended job left stays", kv("job", id), kv("error", done.error().describe()));
  if (supervised)
    log_.warn("a job runs without a record and is left alone; nobody collects what becomes of it", kv("job", id));
  unswept_.erase(id);
  swept_now_.notify_all();
  if (removal.left > 0) co_await strip_again(std::move(id), owner, launch, std::move(removal));
}

Task<> Jobs::resume(store::LiveJob job) {
  Run run;
  run.sequence = job.sequence;
  run.attempt = job.attempt;
  run.launch = job.launch;
  run.stage = Stage::looking;
  run.adopted = true;
  run.boot_id = job.boot_id;
  run.seal.print = job.seal;
  co_await drive(std::move(run));
}

void Jobs::look_for_unknown() {
  if (!std::exchange(taking_unknown_, true)) nursery_.spawn(take_unknown());
}

Task<> Jobs::take_unknown() {
  async::Backoff pause(std::chrono::milliseconds(500), std::chrono::seconds(30));
  for (;;) {
    co_await async::sleep_for(pause.next());
    const auto look = [this]() -> Task<> {
      std::vector<model::JobId> none;
      co_await store_.settle(std::move(none));  // once something can be written again, what is there stays
      for (const auto& job : store_.live()) {
        if (live_.contains(job.sequence) || !waits(job.state)) continue;
        log_.warn("a submission that was told to have failed is on disk; its job is taken", kv("job", job.id));
        admit(job.sequence, job.id, job.uid, job.state, entry_of(job));
      }
    };
    const auto looked = co_await async::attempt(look());
    if (looked) break;
  }
  taking_unknown_ = false;
  schedule();
}

Task<> Jobs::finalize_again(Sequence sequence, int launch) {
  Run run;
  run.sequence = sequence;
  run.launch = launch;
  async::Backoff pause(std::chrono::milliseconds(100), std::chrono::seconds(10));
  while (!run.record.ending) {
    const auto ask = [&]() -> Task<model::Attempt> { co_return columns(sequence).attempts.back(); };
    auto ended = co_await async::attempt(ask());
    if (ended) {
      run.record = std::move(*ended);
      break;
    }
    co_await async::sleep_for(pause.next());
  }
  run.attempt = run.record.number;
  run.stage = Stage::gathering;
  run.adopted = true;
  co_await drive(std::move(run));
}

}  // namespace berth::jobs
