#include "agent/cli/top/reading.hpp"

#include <nlohmann/json.hpp>

#include "agent/wire/json_text.hpp"
#include "agent/wire/node.hpp"
#include "runtime/base/json_fields.hpp"
#include "runtime/base/text.hpp"

namespace berth::cli::top {
namespace {

GpuUse gpu_of(const wire::Gpu& gpu) {
  GpuUse use;
  use.label = printable(gpu.label);
  use.memory = gpu.memory;
  use.utilisation = gpu.utilisation;
  use.used = gpu.used;
  for (const auto& job : gpu.jobs) use.jobs += (use.jobs.empty() ? "" : ", ") + printable(job.value());
  use.withheld = printable(gpu.withheld.value_or(""));
  return use;
}

void read_status(Reading& reading, const wire::Status& status) {
  reading.name = printable(status.name);
  reading.version = printable(status.version);
  reading.drained = status.drained;
  reading.slots = status.capacity.slots;
  reading.slots_used = status.in_use.slots;
  const auto& jobs = status.jobs;
  reading.counts = {jobs.preparing, jobs.queued, jobs.running, jobs.finalizing};
  reading.disk_free = status.disk.free;
  reading.disk_total = status.disk.total;
  for (const auto& gpu : status.gpus.gpus) reading.gpus.push_back(gpu_of(gpu));
}

void read_usage(Reading& reading, wire::NodeUsage usage) {
  reading.time = usage.time;
  reading.monotonic = usage.monotonic;
  reading.cpus = usage.machine.cpus;
  reading.cpu = usage.machine.cpu;
  reading.memory = usage.machine.memory;
  reading.memory_available = usage.machine.memory_available;
  for (auto& job : usage.jobs) reading.uses.emplace(job.id, std::move(job));
}

}  // namespace

Reading reading_from_json(std::string_view status, std::string jobs, std::string_view usage) {
  Reading reading;
  read_status(reading, message_from<wire::Status>(wire::parse_json(status), "status"));
  reading.jobs = list_from_json(std::move(jobs)).jobs;
  read_usage(reading, message_from<wire::NodeUsage>(wire::parse_json(usage), "usage"));
  return reading;
}

}  // namespace berth::cli::top
