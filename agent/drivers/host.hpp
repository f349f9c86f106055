#pragma once

// Jobs as processes of this machine, each in a control group of its own where there are any.

#include "agent/drivers/driver.hpp"
#include "agent/drivers/job_directories.hpp"
#include "runtime/async/offload.hpp"

namespace berth::drivers {

struct HostOptions {
  std::string shim_program;
  std::string cgroup_base;                  // "" where there is no cgroup2 to use
  std::function<void()> renew_cgroup_base;  // makes it again when it is gone; blocks
  bool switch_user = false;                 // jobs run as their submitters
};

// The name of a launch's control group, among those of all launches.
std::string group_name(const model::JobId& job, int launch);

// All given by reference outlives it.
std::unique_ptr<Driver> host_driver(HostOptions options, const JobDirectories& directories, async::Pool& pool);

}  // namespace berth::drivers
