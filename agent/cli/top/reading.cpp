#include "agent/cli/top/reading.hpp"

#include <nlohmann/json.hpp>

#include "agent/model/json.hpp"
#include "runtime/base/text.hpp"

namespace berth::cli::top {
namespace {

using nlohmann::json;
using std::chrono::microseconds;

std::uint64_t number_at(const json& object, const char* key) {
  const auto found = object.is_object() ? object.find(key) : object.end();
  return found != object.end() && found->is_number_unsigned() ? found->get<std::uint64_t>() : 0;
}

microseconds micros_at(const json& object, const char* key) {
  return microseconds(static_cast<std::int64_t>(number_at(object, key)));
}

std::string text_at(const json& object, const char* key) {
  const auto found = object.is_object() ? object.find(key) : object.end();
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

json at(const json& object, const char* key) {
  const auto found = object.is_object() ? object.find(key) : object.end();
  return found != object.end() ? *found : json();
}

GpuUse gpu_of(const json& gpu) {
  GpuUse use;
  use.label = printable(text_at(gpu, "label"));
  use.memory = ByteSize(number_at(gpu, "memory_bytes"));
  if (at(gpu, "utilisation").is_number_unsigned()) use.utilisation = number_at(gpu, "utilisation");
  if (at(gpu, "used_bytes").is_number_unsigned()) use.used = ByteSize(number_at(gpu, "used_bytes"));
  const auto jobs = at(gpu, "jobs");
  if (jobs.is_array())
    for (const auto& job : jobs)
      if (job.is_string()) use.jobs += (use.jobs.empty() ? "" : ", ") + printable(job.get<std::string>());
  use.withheld = printable(text_at(gpu, "withheld"));
  return use;
}

void read_status(Reading& reading, const json& status) {
  reading.name = printable(text_at(status, "name"));
  reading.version = printable(text_at(status, "version"));
  reading.drained = at(status, "drained") == json(true);
  reading.slots = number_at(at(status, "capacity"), "slots");
  reading.slots_used = number_at(at(status, "in_use"), "slots");
  const auto jobs = at(status, "jobs");
  reading.counts = {number_at(jobs, "preparing"), number_at(jobs, "queued"), number_at(jobs, "running"),
                    number_at(jobs, "finalizing")};
  reading.disk_free = ByteSize(number_at(at(status, "disk"), "free_bytes"));
  reading.disk_total = ByteSize(number_at(at(status, "disk"), "total_bytes"));
  const auto gpus = at(status, "gpus");
  if (gpus.is_array())
    for (const auto& gpu : gpus) reading.gpus.push_back(gpu_of(gpu));
}

JobUse use_of(const json& job) {
  JobUse use;
  use.launch = static_cast<int>(number_at(job, "launch"));
  use.cpu = micros_at(job, "cpu_us");
  use.memory = ByteSize(number_at(job, "memory_bytes"));
  use.peak_memory = ByteSize(number_at(job, "memory_peak_bytes"));
  if (const auto limit = number_at(job, "memory_limit_bytes"); limit > 0) use.memory_limit = ByteSize(limit);
  use.processes = number_at(job, "processes");
  use.log_bytes = number_at(job, "log_bytes");
  return use;
}

void read_usage(Reading& reading, const json& usage) {
  reading.time = parse_rfc3339(text_at(usage, "time")).value_or(Instant{});
  reading.monotonic = micros_at(usage, "monotonic_us");
  const auto machine = at(usage, "machine");
  reading.cpus = number_at(machine, "cpus");
  reading.cpu = micros_at(machine, "cpu_us");
  reading.memory = ByteSize(number_at(machine, "memory_bytes"));
  reading.memory_available = ByteSize(number_at(machine, "memory_available_bytes"));
  const auto jobs = at(usage, "jobs");
  if (jobs.is_array())
    for (const auto& job : jobs) reading.uses.emplace(text_at(job, "id"), use_of(job));
}

}  // namespace

Reading reading_from_json(std::string_view status, std::string jobs, std::string_view usage) {
  Reading reading;
  read_status(reading, model::parse_json(status));
  reading.jobs = list_from_json(std::move(jobs)).jobs;
  read_usage(reading, model::parse_json(usage));
  return reading;
}

}  // namespace berth::cli::top
