#include "agent/drivers/host.hpp"

#include <filesystem>

#include "runtime/os/file.hpp"

namespace berth::drivers {
namespace {

class HostDriver final : public Driver {
 public:
  HostDriver(HostOptions options, const JobDirectories& directories, async::Pool& pool)
      : options_(std::move(options)), directories_(directories), pool_(pool), launcher_(options_.shim_program) {}

  void begin(LiveJobs) override {
    launcher_.prepare(options_.cgroup_base.empty() ? "" : options_.cgroup_base + "/any");
  }
  Task<> stop() override { co_return; }

  Task<> prepare(const LaunchId& launch, const model::Job&, const environment::Ready& environment,
                 const os::Identity& identity, Site& site) override {
    site.cgroup = group_of(launch.job, launch.number);
    site.protection = directories_.protect(launch.job, launch.number, site, environment.prefix, identity);
    co_return;
  }

  // Where jobs have the agent's own user, they can write its files.
  bool hands_over_keys() const override { return !options_.switch_user; }

  Task<shim::Supervisor> start(const LaunchId& launch, const shim::Launch& plan, const Site&, const environment::Ready&,
                               const std::string& seal_key) override {
    if (!options_.cgroup_base.empty() && !os::exists(options_.cgroup_base)) {
      auto renew = [&] { options_.renew_cgroup_base(); };
      co_await async::offload(pool_, renew);
    }
    co_return launcher_.launch(directories_.directory(launch.job, launch.number), plan, shim::Handover::memory,
                               seal_key);
  }

  std::string group_of(const model::JobId& job, int launch) const override {
    if (options_.cgroup_base.empty()) return {};
    return options_.cgroup_base + "/" + group_name(job, launch);
  }

  Task<std::optional<os::Fd>> recover(const LaunchId&) override { co_return std::nullopt; }
  Task<bool> settle(const LaunchId&, shim::Condition&) override { co_return false; }
  Task<model::Lost::Cause> why_lost() override { co_return model::Lost::Cause::shim_killed; }
  Task<> clean(const LaunchId&) override { co_return; }
  Task<> sweep() override { co_return; }
  bool is_away(Lack) override { return false; }
  Task<> back() override { co_return; }

 private:
  const HostOptions options_;
  const JobDirectories& directories_;
  async::Pool& pool_;
  shim::Launcher launcher_;
};

}  // namespace

std::string group_name(const model::JobId& job, int launch) { return job + "-" + std::to_string(launch); }

std::unique_ptr<Driver> host_driver(HostOptions options, const JobDirectories& directories, async::Pool& pool) {
  return std::make_unique<HostDriver>(std::move(options), directories, pool);
}

}  // namespace berth::drivers
