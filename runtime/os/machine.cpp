#include "runtime/os/machine.hpp"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "runtime/os/file.hpp"

namespace berth::os {

std::uint64_t machine_memory() noexcept {
  const auto pages = static_cast<std::uint64_t>(std::max(::sysconf(_SC_PHYS_PAGES), 1L));
  return pages * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
}

std::uint32_t usual_pids() {
  const auto threads = std::atoll(read_file("/proc/sys/kernel/threads-max").c_str());
  return static_cast<std::uint32_t>(std::clamp(threads * 15 / 100, 256LL, 32'768LL));
}

}  // namespace berth::os
