#pragma once

// What berth-shim does: runs one launch to its end. One thread, no agent needed: it lives on when the agent
// dies.
//
// Stopping. The signal asked for goes to the command's main process alone, as with systemd's KillMode=mixed:
// a launcher such as torchrun, or a trainer with data loaders, then shuts its own children down in its own
// order, and does not see them die first. When the main process ends while others are left (a shell that dies
// and leaves the trainer behind), those get the signal too, and what remains of the grace. Then everything is
// killed. A command that ends by itself has what it left behind killed at once.

#include <string>

#include "runtime/os/fd.hpp"

namespace berth::shim {

// Runs the launch of that directory and writes its ending; does nothing where another shim has it, it was
// revoked, or it has already been started. Throws Error when the directory cannot even be claimed. `launch`: what to
// run (to_handover), or an empty handle where that is in the directory.
void supervise(const std::string& directory, os::Fd launch);

}  // namespace berth::shim
