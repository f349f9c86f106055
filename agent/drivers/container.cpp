#include "agent/drivers/container.hpp"

#include <atomic>

#include "runtime/async/attempt.hpp"
#include "runtime/async/event.hpp"
#include "runtime/async/lanes.hpp"
#include "runtime/async/nursery.hpp"
#include "runtime/async/wait.hpp"

namespace berth::drivers {
namespace {

constexpr auto kAgentsOwn = ~async::Lanes::Owner{0};
constexpr std::chrono::milliseconds kFirstLook{200};  // for the engine
constexpr std::chrono::milliseconds kLongestLook{5'000};
constexpr std::chrono::milliseconds kLongestSweepPause{300'000};
constexpr int kLooksAfterLoss = 10;
constexpr std::chrono::milliseconds kLookAfterLoss{300};

// Then nothing more has to be known of its container, whose end and removal take many milliseconds.
bool ended_well(const shim::Condition& condition) {
  const auto* over = std::get_if<shim::Over>(&condition);
  if (over == nullptr || !over->ended.stopped_because.empty()) return false;
  const auto* exit = std::get_if<os::Exit>(&over->ended.outcome);
  return exit != nullptr && !exit->signalled && exit->status == 0;
}

class ContainerDriver final : public Driver {
 public:
  ContainerDriver(async::Executor executor, ContainerOptions options, JobDirectories& directories, Log log)
      : containers_(std::move(options)),
        directories_(directories),
        log_(std::move(log)),
        nursery_(executor, [this](std::exception_ptr failure) {
          log_.error("a task of the container driver failed", kv("error", error_from(std::move(failure)).describe()));
        }) {}

  void begin(LiveJobs live) override { live_ = std::move(live); }
  Task<> stop() override { co_await nursery_.stop_and_join(); }

  Task<> prepare(const LaunchId& launch, const model::Job& job, const environment::Ready& environment,
                 const os::Identity&, Site& site) override {
    site.container = true;
    if (job.request.container.shm_size) site.shm_size = *job.request.container.shm_size;
    site.docker_args = {job.request.container.docker_args};
    auto look = [&](const std::stop_token& stop) { return containers_.stopped_by(stop).image(environment.image); };
    const auto image = co_await async::offload(lane_, launch.owner, look);
    site.image_environment = image.environment;
    site.image_directory = image.working_directory;
  }

  // What is in a container has no socket to get one by.
  bool hands_over_keys() const override { return false; }

  Task<shim::Supervisor> start(const LaunchId& launch, const shim::Launch& plan, const Site& site,
                               const environment::Ready& environment, const std::string&) override {
    const auto directory = directories_.directory(launch.job, launch.number);
    auto start = [&](const std::stop_token& stop) {
      return containers_.stopped_by(stop).launch(launch.job, launch.number, directory, plan, site, environment.image);
    };
    co_return co_await async::offload(lane_, launch.owner, start);
  }

  std::string group_of(const model::JobId&, int) const override { return {}; }

  Task<std::optional<os::Fd>> recover(const LaunchId& launch) override {
    auto look = [&](const std::stop_token& stop) {
      return containers_.stopped_by(stop).supervisor(launch.job, launch.number);
    };
    auto found = co_await async::offload(lane_, launch.owner, look);  // its number is the container's own
    if (!found) throw Error(Code::not_found, "the container of " + launch.job + " has just ended");
    co_return found;
  }

  Task<bool> settle(const LaunchId& launch, shim::Condition& condition) override {
    if (ended_well(condition)) co_return false;
    bool out_of_memory = false;
    auto remove = [&](const std::stop_token& stop) {
      out_of_memory = remove_container(launch.job, launch.number, stop);
    };
    co_await async::offload(lane_, launch.owner, remove);
    sweep_if_left();
    auto* over = std::get_if<shim::Over>(&condition);
    if (over == nullptr || !out_of_memory) co_return false;
    over->ended.out_of_memory_kills = std::max<std::uint64_t>(over->ended.out_of_memory_kills, 1);
    co_return true;
  }

  // What the engine's stop did to a job is told as that.
  Task<model::Lost::Cause> why_lost() override {
    for (int looks = 0; looks < kLooksAfterLoss; ++looks) {
      const auto asked = co_await async::attempt(ask_engine());
      if (!asked) co_return model::Lost::Cause::engine_stopped;
      co_await async::sleep_for(kLookAfterLoss);
    }
    co_return model::Lost::Cause::container_ended;
  }

  // Earlier launches, too: an engine may have begun with one just when its agent died.
  Task<> clean(const LaunchId& last) override {
    auto remove = [&](const std::stop_token& stop) {
      for (int each = last.number; each > 0; --each) remove_container(last.job, each, stop);
    };
    co_await async::offload(lane_, last.owner, remove);
    sweep_if_left();
  }

  Task<> sweep() override {
    auto tidy = [&](const std::stop_token&) { containers_.tidy(); };
    co_await async::offload(lane_, kAgentsOwn, tidy);
    const auto swept = co_await async::attempt(sweep_containers());
    if (swept) co_return;
    watch();
    throw swept.error();
  }

  bool is_away(Lack lack) override {
    if (lack != Lack::engine) return false;
    watch();
    return true;
  }

  Task<> back() override {
    while (watched_) co_await back_.wait();
  }

 private:
  Task<> ask_engine() {
    auto ask = [&](const std::stop_token& stop) { containers_.stopped_by(stop).ask_engine(); };
    co_await async::offload(lane_, kAgentsOwn, ask);
  }

  // Whether the kernel killed something of it for want of memory. What cannot be removed is swept when the engine is
  // back. On a thread of the lane.
  bool remove_container(const model::JobId& job, int launch, const std::stop_token& stop) noexcept {
    try {
      return containers_.stopped_by(stop).remove(job, launch).out_of_memory;
    } catch (const Cancelled&) {  // the agent ends, and the next one does it
      return false;
    } catch (const std::exception&) {
      const auto why = error_from(std::current_exception()).describe();
      log_.error("a job's container cannot be removed", kv("job", job), kv("error", why));
      directories_.remark(job, "its container cannot be removed now: " + why);
      left_ = true;
      return false;
    }
  }

  Task<> sweep_containers() {
    auto look = [&](const std::stop_token&) { return containers_.recorded(); };
    auto left = co_await async::offload(lane_, kAgentsOwn, look);
    const auto live = live_();
    std::erase_if(left, [&](const Containers::Launched& each) { return live.contains(each.job); });
    auto remove = [&](const std::stop_token& stop) {
      for (const auto& each : left) containers_.stopped_by(stop).remove(each.job, each.launch);
    };
    if (!left.empty()) co_await async::offload(lane_, kAgentsOwn, remove);
  }

  // Asks the engine until it answers; then wakes who waits, and clears away what was left meanwhile.
  void watch() {
    if (!std::exchange(watched_, true)) nursery_.spawn(look_for_engine());
  }

  Task<> look_for_engine() {
    async::Backoff pause(kFirstLook, kLongestLook);
    for (;;) {
      const auto asked = co_await async::attempt(ask_engine());
      if (asked) break;
      co_await async::sleep_for(pause.next());
    }
    watched_ = false;
    back_.notify_all();
    if (!sweeping_) co_await sweep_until_clear();
  }

  // What was left because the engine was away, or would not let it go.
  Task<> sweep_until_clear() {
    sweeping_ = true;
    async::Backoff pause(kFirstLook, kLongestSweepPause);
    for (;;) {
      left_ = false;
      const auto swept = co_await async::attempt(sweep_containers());
      if (swept && !left_) break;
      if (!swept) log_.warn("containers of ended jobs are left", kv("error", swept.error().describe()));
      co_await async::sleep_for(pause.next());
    }
    sweeping_ = false;
  }

  void sweep_if_left() {
    if (left_ && !sweeping_) watch();
  }

  Containers containers_;
  JobDirectories& directories_;
  LiveJobs live_;
  Log log_;
  async::Lanes lane_{{2, 4}};      // what the engine is asked, which may hang
  bool watched_ = false;           // the engine is away, and asked until it answers
  async::Event back_;
  bool sweeping_ = false;
  std::atomic<bool> left_ = false;  // containers of ended jobs, that could not be removed
  async::Nursery nursery_;
};

}  // namespace

std::unique_ptr<Driver> container_driver(async::Executor executor, ContainerOptions options,
                                         JobDirectories& directories, Log log) {
  return std::make_unique<ContainerDriver>(executor, std::move(options), directories, std::move(log));
}

}  // namespace berth::drivers
