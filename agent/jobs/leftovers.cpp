#include "agent/jobs/leftovers.hpp"

#include <unistd.h>

#include <condition_variable>
#include <filesystem>
#include <mutex>
#include <thread>

#include "agent/drivers/host.hpp"
#include "agent/jobs/context.hpp"
#include "runtime/async/errand.hpp"

namespace berth::jobs {
namespace {

constexpr auto kLastStrips = std::chrono::seconds(2);
constexpr std::chrono::milliseconds kFirstStripPause{500};
constexpr std::chrono::milliseconds kLongestStripPause{600'000};

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

void Leftovers::clear(drivers::LaunchId last, drivers::Driver& driver, environment::Lease environment) {
  context_.nursery.spawn(strip(std::move(last), driver, std::move(environment)));
}

void Leftovers::clear_attempt(drivers::LaunchId launch) { context_.nursery.spawn(strip_attempt(std::move(launch))); }

Task<> Leftovers::discard(drivers::LaunchId launch) {
  auto work = [&](const std::stop_token&) { context_.directories.discard(launch.job, launch.number); };
  const auto discarded = co_await async::attempt(async::offload(context_.lanes.removing, launch.owner, work));
  if (!discarded)
    context_.log.warn("what a launch left stays", kv("job", launch.job), kv("launch", launch.number),
                      kv("error", discarded.error().describe()));
}

// The supervisor's own record of the ending goes with the directory: not before the agent's is as safe.
Task<> Leftovers::strip(drivers::LaunchId last, drivers::Driver& driver, environment::Lease environment) {
  const auto not_done = stripping_.emplace(stripping_.end(), last.job, last.number);
  co_await driver.clean(last);
  environment = {};
  co_await context_.store.synced();
  std::uint64_t log_bytes = 0;
  os::Removal removal;
  auto work = [&](const std::stop_token& stop) {
    log_bytes = context_.directories.log_bytes(last.job, last.number);
    removal = context_.directories.strip(last.job, last.number, stop);
  };
  co_await async::offload(context_.lanes.removing, last.owner, work);
  if (!context_.nursery.stopping()) stripping_.erase(not_done);
  context_.disk.job_ended(log_bytes);
  if (removal.left > 0) co_await strip_again(last.job, last.owner, last.number, std::move(removal));
}

Task<> Leftovers::strip_attempt(drivers::LaunchId launch) {
  const auto not_done = stripping_.emplace(stripping_.end(), launch.job, launch.number);
  co_await context_.store.synced();
  os::Removal removal;
  auto work = [&](const std::stop_token& stop) {
    removal = context_.directories.strip(launch.job, launch.number, stop);
  };
  co_await async::offload(context_.lanes.removing, launch.owner, work);
  if (!context_.nursery.stopping()) stripping_.erase(not_done);
  if (removal.left > 0) co_await strip_again(launch.job, launch.owner, launch.number, std::move(removal));
}

Task<> Leftovers::strip_again(model::JobId id, async::Lanes::Owner owner, int launch, os::Removal left) {
  context_.directories.remark(
      id, "what it left cannot be removed: " + std::to_string(left.left) + " entries; " + left.first_failure);
  context_.log.warn("what a job left cannot be removed now", kv("job", id), kv("entries", left.left),
                    kv("error", left.first_failure));
  async::Backoff pause(kFirstStripPause, kLongestStripPause);
  auto work = [&](const std::stop_token& stop) { left = context_.directories.strip_up_to(id, launch, stop); };
  while (left.left > 0) {
    co_await async::sleep_for(pause.next());
    co_await async::offload(context_.lanes.removing, owner, work);
  }
}

Task<> Leftovers::clear_the_last() {
  if (stripping_.empty()) co_return;
  const auto synced = co_await async::attempt(context_.store.sync());
  if (!synced) co_return;
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
    for (const auto& [id, launch] : stripping_) context_.directories.strip(id, launch, enough.get_token());
  } catch (const std::exception&) {
    context_.log.warn("what ended jobs left stays until the agent starts again");
  }
  stripping_.clear();
}

void Leftovers::sweep(const std::set<model::JobId>& live, std::set<std::string> groups) {
  auto ended = context_.directories.list();
  std::erase_if(ended, [&](const model::JobId& id) { return live.contains(id); });
  unswept_.insert(ended.begin(), ended.end());
  context_.nursery.spawn(sweep_all(std::move(ended), std::move(groups)));
}

Task<> Leftovers::swept(model::JobId job) {
  while (!swept_drivers_ || unswept_.contains(job)) co_await swept_now_.wait();
}

// Each in its owner's lane: what one left keeps nobody else waiting.
Task<> Leftovers::sweep_all(std::vector<model::JobId> ended, std::set<std::string> groups) {
  const auto left_groups = groups_left(context_.settings.cgroup_base, groups);  // before anything is launched
  auto sweep_errands = [&](const std::stop_token&) { async::remove_left_errands(context_.settings.cgroup_base); };
  co_await async::offload(context_.lanes.removing, kAgentsOwn, sweep_errands);
  co_await context_.store.synced();  // before any record of a supervisor goes
  for (const auto& [id, launch] : context_.store.past_launches(0))  // of jobs that go on
    if (const auto uid = context_.store.owner_of(id)) clear_attempt({id, *uid, launch});
  auto look = [&](const std::stop_token& stop) { return context_.directories.with_leftovers(ended, stop); };
  const auto left = co_await async::offload(context_.lanes.removing, kAgentsOwn, look);
  unswept_ = std::set<model::JobId>(left.begin(), left.end());
  swept_now_.notify_all();
  for (auto& id : left) context_.nursery.spawn(sweep_directory(id));
  auto sweep_groups = [&](const std::stop_token&) {
    // One with processes in it cannot be removed, and `berth doctor` tells of it.
    for (const auto& group : left_groups) ::rmdir(group.c_str());
  };
  co_await async::offload(context_.lanes.removing, kAgentsOwn, sweep_groups);
  for (auto* driver : context_.drivers.all()) {
    const auto swept = co_await async::attempt(driver->sweep());
    if (!swept)
      context_.log.warn("what ended jobs left is not cleared away yet", kv("error", swept.error().describe()));
  }
  swept_drivers_ = true;
  swept_now_.notify_all();
}

Task<> Leftovers::sweep_directory(model::JobId id) {
  const auto uid = context_.store.owner_of(id);
  const auto owner = uid ? async::Lanes::Owner{*uid} : kAgentsOwn;
  bool supervised = false;
  int launch = 0;
  os::Removal removal;
  auto sweep = [&](const std::stop_token& stop) {
    supervised = context_.directories.is_supervised(id);
    launch = context_.directories.last_launch(id);
    if (!supervised) removal = context_.directories.strip_up_to(id, launch, stop);
  };
  const auto done = co_await async::attempt(async::offload(context_.lanes.removing, owner, sweep));
  if (!done) context_.log.warn("what an ended job left stays", kv("job", id), kv("error", done.error().describe()));
  if (supervised)
    context_.log.warn("a job runs without a record and is left alone; nobody collects what becomes of it",
                      kv("job", id));
  unswept_.erase(id);
  swept_now_.notify_all();
  if (removal.left > 0) co_await strip_again(std::move(id), owner, launch, std::move(removal));
}

}  // namespace berth::jobs
