#pragma once

// Where the control groups of all jobs hang. For the machine's agent under systemd that is a delegated scope of its
// own, so that stopping, restarting, killing or upgrading the agent's service does not touch a job; elsewhere any
// cgroup2 directory that the agent may write. A job's own group is made below it by its supervisor.

#include <optional>
#include <string>
#include <vector>

#include "runtime/base/log.hpp"
#include "runtime/os/spawn.hpp"
#include "runtime/os/systemd.hpp"

namespace berth::daemon {

class JobGroups {
 public:
  // `configured` comes first; throws Code::invalid when no groups can be made there.
  JobGroups(const std::string& configured, bool machine_agent, std::string shim_program);
  JobGroups(const JobGroups&) = delete;
  JobGroups& operator=(const JobGroups&) = delete;
  ~JobGroups();

  // "" where no cgroup2 hierarchy can be used: jobs then run without limits.
  const std::string& base() const { return base_; }
  // Of memory, cpu, pids and io, those that limit jobs.
  const std::vector<std::string>& controllers() const { return controllers_; }
  // The base is there again when this returns: systemd drops a scope when its last process is killed. Blocks.
  void renew();

 private:
  struct Holder {
    os::Child child;
    os::Fd input;
  };
  void use_scope();
  void hold(const std::string& base);
  Holder start_holder(int cgroup);
  void release_holder();

  std::string shim_program_;
  std::string base_;
  std::vector<std::string> controllers_;
  bool scoped_ = false;
  std::optional<Holder> holder_;  // keeps the scope while no job runs
  Log log_;
};

}  // namespace berth::daemon
