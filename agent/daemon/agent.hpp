#pragma once

// The agent as a whole: every part made in order, destroyed in reverse.

#include <functional>

#include "agent/daemon/config.hpp"

namespace berth::daemon {

struct Options {
  Config config;
  // Reads the configuration again; throws where it is wrong. Without it nothing is read again.
  std::function<Config()> reread;
  bool machine_agent = false;  // serves every user of the machine; needs root
  std::string shim_program;    // "" finds it beside this program
};

// Serves until SIGTERM or SIGINT; at SIGHUP it takes what of its configuration has changed, or none of it where there
// is a mistake. Jobs and their supervisors run on afterwards. Throws an Error where it cannot
// start: another agent has the state directory (told with its pid), a newer or damaged database, no socket.
void run_agent(Options options);

}  // namespace berth::daemon
