#include "agent/daemon/job_groups.hpp"

#include <chrono>
#include <thread>

#include "runtime/base/error.hpp"
#include "runtime/os/cgroup.hpp"
#include "runtime/os/file.hpp"

namespace berth::daemon {
namespace {

// An earlier scope needs some moments to go when its last process has ended.
constexpr auto kScopeWithin = std::chrono::seconds(15);
constexpr auto kScopePause = std::chrono::milliseconds(20);

const os::Scope& scope() {
  static const os::Scope kScope{"berth-jobs.scope", "berth.slice", "Berth jobs", "berthd.service"};
  return kScope;
}

// Below the agent's own group, unless that belongs to its service: systemd would then fail to start it again, since a
// group with controllers for those below it may hold no processes.
std::optional<std::string> base_without_scope(const std::string& configured, bool service) {
  if (service && configured.empty()) return os::directory_of_group("/");
  return os::find_cgroup_base(configured);
}

}  // namespace

JobGroups::JobGroups(const std::string& configured, bool machine_agent, std::string shim_program)
    : shim_program_(std::move(shim_program)) {
  const bool service = machine_agent && os::systemd_runs();
  if (service && configured.empty()) {
    try {
      use_scope();
    } catch (const Error& error) {
      log_.warn("jobs get no scope of systemd's", kv("error", error.describe()));
    }
  }
  if (!scoped_) {
    auto base = base_without_scope(configured, service);
    if (!configured.empty() && !base)
      throw Error(Code::invalid, "no groups can be made in the configured cgroup " + configured,
                  "it must be a directory of a cgroup2 file system that the agent may write");
    if (base) base_ = configured.empty() ? os::join(*base, "berth") : *base;
  }
  if (!base_.empty()) controllers_ = os::Cgroup::make(base_).enable_controllers();
}

JobGroups::~JobGroups() { release_holder(); }

void JobGroups::renew() {
  if (base_.empty() || os::exists(base_)) return;
  log_.warn("the jobs' control group is gone; making it again", kv("cgroup", base_));
  release_holder();
  if (scoped_) use_scope();
  os::Cgroup::make(base_).enable_controllers();
}

void JobGroups::use_scope() {
  const auto deadline = std::chrono::steady_clock::now() + kScopeWithin;
  for (;;) {
    try {
      if (const auto group = os::control_group_of(scope())) {  // jobs of an earlier agent are in it
        const auto directory = os::directory_of_group(*group);
        if (directory) return hold(*directory);
      } else {
        auto holder = start_holder(-1);
        const auto started = os::start_scope(scope(), holder.child.id.pid);
        holder_ = std::move(holder);
        const auto directory = os::directory_of_group(started);
        if (!directory) throw Error(Code::unavailable, "there is no control group " + started);
        os::Cgroup::make(*directory, "shims").add(holder_->child.id.pid);
        base_ = *directory;
        scoped_ = true;
        return;
      }
    } catch (const Error&) {  // it may be about to end, or to be made
      if (std::chrono::steady_clock::now() > deadline) throw;
    }
    std::this_thread::sleep_for(kScopePause);
  }
}

void JobGroups::hold(const std::string& base) {
  const auto group = os::Cgroup::make(base, "shims");
  holder_ = start_holder(group.directory().get());
  base_ = base;
  scoped_ = true;
}

// A process that only is there, until its input ends.
JobGroups::Holder JobGroups::start_holder(int cgroup) {
  auto pipe = os::make_pipe();
  os::SpawnOptions options;
  options.arguments = {shim_program_, "--hold"};
  options.new_session = true;
  options.standard_input = pipe.read.get();
  options.cgroup = cgroup;
  return {os::spawn(options), std::move(pipe.write)};
}

void JobGroups::release_holder() {
  if (!holder_) return;
  holder_->input.reset();
  os::reap(holder_->child.pidfd);
  holder_.reset();
}

}  // namespace berth::daemon
