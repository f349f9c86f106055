#pragma once

// What processes, and the whole machine, use: read from /proc when asked, nothing is kept.

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <optional>

namespace berth::os {

struct ProcessUse {
  std::chrono::microseconds cpu{};           // of its threads
  std::chrono::microseconds children_cpu{};  // of the ended children that it has waited for, and theirs
  std::uint64_t resident = 0;                // bytes of memory, shared pages included
  std::uint64_t peak_resident = 0;
  // Bytes from and to block devices, those of ended children included; 0 where this process may not look.
  std::uint64_t read = 0;
  std::uint64_t written = 0;
};

// Nothing where no such process is, or it is a zombie.
std::optional<ProcessUse> use_of(pid_t pid);

struct MachineUse {
  std::chrono::microseconds busy_cpu{};  // of all CPUs together, since boot
  std::uint64_t memory_total = 0;        // bytes
  std::uint64_t memory_available = 0;    // bytes that programs could have without swapping
};

MachineUse machine_use();

}  // namespace berth::os
