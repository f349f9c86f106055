#pragma once

// What the agent told at one moment, as `berth top` needs it. Fields that an older or newer agent does not
// tell stay empty.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/cli/agent.hpp"
#include "agent/wire/node.hpp"
#include "runtime/base/clock.hpp"

namespace berth::cli::top {

using wire::JobUse;

struct Counts {
  std::uint64_t preparing = 0;
  std::uint64_t queued = 0;
  std::uint64_t running = 0;
  std::uint64_t finalizing = 0;
};

struct GpuUse {
  std::string label;  // "GPU 3"
  std::optional<std::uint64_t> utilisation;  // percent
  std::optional<ByteSize> used;
  ByteSize memory;
  std::string jobs;      // that hold it, with commas
  std::string withheld;  // why; "" when it is not
};

struct Reading {
  // The node.
  std::string name;
  std::string version;
  bool drained = false;
  std::uint64_t slots = 0;
  std::uint64_t slots_used = 0;
  Counts counts;
  ByteSize disk_free;
  ByteSize disk_total;
  std::vector<GpuUse> gpus;
  // The machine.
  Instant time{};
  std::chrono::microseconds monotonic{};
  std::uint64_t cpus = 0;
  std::chrono::microseconds cpu{};  // busy, of all CPUs
  ByteSize memory;
  ByteSize memory_available;
  // As the queue has them, from its front.
  std::vector<JobRecord> jobs;
  std::map<model::JobId, JobUse> uses;  // of those whose command runs
};

// The agent's JSON of /v1/status, /v1/jobs?order=queue and /v1/usage.
Reading reading_from_json(std::string_view status, std::string jobs, std::string_view usage);

}  // namespace berth::cli::top
