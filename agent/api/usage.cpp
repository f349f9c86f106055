#include "agent/api/usage.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <thread>

#include "runtime/os/file.hpp"
#include "runtime/os/process_use.hpp"
#include "runtime/shim/contract.hpp"
#include "runtime/shim/live_use.hpp"

namespace berth::api {
namespace {

using nlohmann::json;

std::uint64_t size_of(const std::string& path) {
  struct stat info {};
  return ::stat(path.c_str(), &info) == 0 ? static_cast<std::uint64_t>(info.st_size) : 0;
}

json job_json(const RunningJob& job, const shim::LiveUse& use) {
  json out{{"id", job.id},
           {"launch", job.launch},
           {"cpu_us", use.cpu.count()},
           {"memory_bytes", use.memory},
           {"memory_peak_bytes", use.peak_memory},
           {"processes", use.processes},
           {"io_read_bytes", use.read},
           {"io_written_bytes", use.written},
           {"log_bytes", size_of(os::join(job.directory, shim::kLogFile))}};
  if (use.memory_limit) out["memory_limit_bytes"] = *use.memory_limit;
  return out;
}

json machine_json() {
  const auto use = os::machine_use();
  return {{"cpus", std::max(1U, std::thread::hardware_concurrency())},
          {"cpu_us", use.busy_cpu.count()},
          {"memory_bytes", use.memory_total},
          {"memory_available_bytes", use.memory_available}};
}

}  // namespace

json usage_json(const std::vector<RunningJob>& running, const Clock& clock) {
  const auto now = std::chrono::duration_cast<Micros>(clock.steady().time_since_epoch());
  shim::LiveUseReader reader;
  json jobs = json::array();
  for (const auto& job : running)
    if (const auto use = reader.of(job.directory)) jobs.push_back(job_json(job, *use));
  return {{"time", to_rfc3339(clock.now())},
          {"monotonic_us", now.count()},
          {"machine", machine_json()},
          {"jobs", std::move(jobs)}};
}

}  // namespace berth::api
