#pragma once

// What this machine has in all, and how much of it one job or build may take that says nothing of it.

#include <cstdint>

namespace berth::os {

// Bytes, swap left out.
std::uint64_t machine_memory() noexcept;
// Processes and threads. As systemd's DefaultTasksMax: enough for any honest program, and a fork bomb leaves the
// machine usable.
std::uint32_t usual_pids();

}  // namespace berth::os
