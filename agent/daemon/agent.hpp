#pragma once

// The agent as a whole: every part made in order, destroyed in reverse.

#include "agent/daemon/config.hpp"

namespace berth::daemon {

struct Options {
  Config config;
  bool machine_agent = false;  // serves every user of the machine; needs root
  std::string shim_program;    // "" finds it beside this program
};

// Serves until SIGTERM or SIGINT. Jobs and their supervisors run on afterwards. Throws an Error where it cannot
// start: another agent has the state directory (told with its pid), a newer or damaged database, no socket.
void run_agent(Options options);

}  // namespace berth::daemon
