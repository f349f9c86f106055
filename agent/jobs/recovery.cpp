// After a restart of the agent or of the machine: every live job is taken up in the state that the disk tells.

#include <unistd.h>

#include <filesystem>
#include <set>

#include "agent/jobs/jobs.hpp"
#include "agent/jobs/launching.hpp"
#include "agent/jobs/persist.hpp"
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

// The agent may have died between recording an ending and clearing up after it; more end at a time never do.
constexpr std::size_t kEndedJobsLookedAt = 256;

std::string name_of_group(const model::JobId& id, int launch) { return id + "-" + std::to_string(launch); }

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
  for (const auto& [id, launch] : store_.past_launches(kEndedJobsLookedAt)) workplaces_.strip(id, launch);
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
  nursery_.spawn(sweep_workplaces(std::move(ended)));
  launcher_.prepare(settings_.cgroup_base.empty() ? "" : settings_.cgroup_base + "/any");
  schedule();
  co_return;
}

// An agent that died between recording an ending and cleaning up left that to this one. `ended` is from before any
// job could come into being or be retried.
Task<> Jobs::sweep_workplaces(std::vector<model::JobId> ended) {
  std::set<std::string> groups;  // of live jobs
  for (const auto& [sequence, job] : live_) groups.insert(name_of_group(job.id, job.launch));
  const auto left = groups_left(settings_.cgroup_base, groups);  // before anything is launched
  std::vector<model::JobId> supervised;
  auto sweep = [&] {
    for (const auto& id : ended)
      if (!workplaces_.strip_unsupervised(id)) supervised.push_back(id);
    // One with processes in it cannot be removed, and `berth doctor` tells of it.
    for (const auto& group : left) ::rmdir(group.c_str());
  };
  co_await async::offload(pool_, sweep);
  for (const auto& id : supervised)
    log_.warn("a job runs without a record and is left alone; nobody collects what becomes of it", kv("job", id));
  const auto swept = co_await async::attempt(sweep_containers());
  if (!swept && swept.error().code() != Code::unavailable)
    log_.warn("containers of ended jobs may be left", kv("error", swept.error().describe()));
  swept_ = true;
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
        admit(job.sequence, job.id, job.state, entry_of(job));
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
    const auto ask = [&]() -> Task<model::Attempt> { co_return record(sequence).attempts.back(); };
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
