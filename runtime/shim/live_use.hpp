#pragma once

// What running jobs use at this moment: from a job's control group as far as its controllers tell, the rest
// from /proc of its processes. Read when asked; nothing samples.

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "runtime/os/process.hpp"

namespace berth::shim {

struct LiveUse {
  std::chrono::microseconds cpu{};  // since the launch started, ended processes included
  // With the memory controller what the group is charged with, page cache included; without it the sum of the
  // processes' resident sizes, in which shared pages count several times.
  std::uint64_t memory = 0;
  // Of the group; where the kernel does not keep it, at least this much.
  std::uint64_t peak_memory = 0;
  std::optional<std::uint64_t> memory_limit;
  std::uint64_t processes = 0;
  std::uint64_t read = 0;     // bytes from block devices
  std::uint64_t written = 0;  // bytes to block devices
};

// Asks after several launches; /proc is walked at most once.
class LiveUseReader {
 public:
  // Nothing when the launch in this directory has not started its command yet, or is over.
  std::optional<LiveUse> of(const std::string& directory);

 private:
  const os::ProcessTree& tree();
  std::optional<os::ProcessTree> tree_;
};

}  // namespace berth::shim
