#pragma once

// Runs a command once the node has had nothing to do for a while, such as shutting a rented machine down.

#include <chrono>
#include <string>
#include <vector>

#include "agent/jobs/jobs.hpp"
#include "runtime/async/task.hpp"
#include "runtime/base/log.hpp"

namespace berth::daemon {

struct IdlePolicy {
  std::vector<std::string> command;  // the program's absolute path and its arguments; empty: nothing is done
  std::chrono::milliseconds after{};
};

// Until it is cancelled. The command runs once for each time the node becomes idle, with the agent's rights; while it
// runs, and when it fails, the node goes on as before. Without a command there is nothing to wake up for.
async::Task<> watch_idleness(IdlePolicy policy, jobs::Jobs& jobs, async::Pool& pool, Log log);

}  // namespace berth::daemon
