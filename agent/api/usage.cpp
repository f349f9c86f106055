#include "agent/api/usage.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <thread>

#include "runtime/os/file.hpp"
#include "runtime/os/process_use.hpp"
#include "runtime/shim/contract.hpp"
#include "runtime/shim/live_use.hpp"

namespace berth::api {
namespace {

std::uint64_t size_of(const std::string& path) {
  struct stat info {};
  return ::stat(path.c_str(), &info) == 0 ? static_cast<std::uint64_t>(info.st_size) : 0;
}

wire::JobUse told(const RunningJob& job, const shim::LiveUse& use) {
  wire::JobUse out;
  out.id = job.id;
  out.launch = job.launch;
  out.cpu = use.cpu;
  out.memory = ByteSize(use.memory);
  out.peak_memory = ByteSize(use.peak_memory);
  if (use.memory_limit) out.memory_limit = ByteSize(*use.memory_limit);
  out.processes = use.processes;
  out.io_read = ByteSize(use.read);
  out.io_written = ByteSize(use.written);
  out.log = ByteSize(size_of(os::join(job.directory, shim::kLogFile)));
  return out;
}

wire::NodeUsage::Machine machine_now() {
  const auto use = os::machine_use();
  return {std::max(1U, std::thread::hardware_concurrency()), use.busy_cpu, ByteSize(use.memory_total),
          ByteSize(use.memory_available)};
}

}  // namespace

wire::NodeUsage usage_of(const std::vector<RunningJob>& running, const Clock& clock) {
  wire::NodeUsage usage;
  usage.monotonic = std::chrono::duration_cast<Micros>(clock.steady().time_since_epoch());
  shim::LiveUseReader reader;
  for (const auto& job : running)
    if (const auto use = reader.of(job.directory)) usage.jobs.push_back(told(job, *use));
  usage.time = clock.now();
  usage.machine = machine_now();
  return usage;
}

}  // namespace berth::api
