#pragma once

// What a node is, for status and metrics: facts that do not change while the agent runs.

#include <string>
#include <vector>

#include "runtime/base/clock.hpp"
#include "runtime/base/units.hpp"

namespace berth::api {

struct Node {
  std::string name;       // of the machine
  std::string version;    // of the agent
  std::string state_dir;
  pid_t pid = 0;
  Instant started{};
  bool machine_agent = false;    // serves every user
  std::vector<std::string> controllers;  // of memory, cpu, pids, io: those that limit jobs
  std::string cgroup_base;       // "" : no cgroup2, limits and group kill are off
  std::string socket;
  std::string group;             // of the socket; "" for a user's own agent
  std::string shim_program;
  ByteSize reserved_space;       // with less free, new jobs are refused
  bool overlays = false;         // else each job's tree is a copy
  std::string environment_changes;  // what becomes of what jobs change there (agent/drivers/protection.hpp)
  std::string why_no_sandbox;    // why builds see more than what is theirs; "" where they do not
  std::string docker_socket;     // that a container engine is looked for on
};

}  // namespace berth::api
