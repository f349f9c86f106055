#pragma once

// What an agent tells, for the tests of `berth top`.

#include <nlohmann/json.hpp>

#include "agent/cli/top/reading.hpp"
#include "agent/wire/job.hpp"
#include "runtime/base/json_fields.hpp"
#include "tests/agent/cli/sample.hpp"

namespace berth::cli::top::sample {

using nlohmann::json;

inline json waiting(model::Job job, const std::string& id, const std::string& why) {
  job.id = model::JobId(id);
  return json_of(wire::JobRecord{std::move(job), why});
}

// One job that runs, two that wait, one of them held; `cpu_seconds` of the running one and of the machine.
struct Node {
  std::int64_t seconds = 0;  // since the first reading
  double cpu_seconds = 0;
  bool drained = false;
  json jobs =
      json::array({json_of(wire::JobRecord{cli::sample::running(), {}}),
                   waiting(cli::sample::queued(), "calm-otter-2xyz", "the next one; 1 slot is wanted, none is free")});

  json gpus = json::array();

  std::string status() const {
    return json{{"name", "gpu1"},
                {"version", "0.1.0"},
                {"drained", drained},
                {"capacity", {{"slots", 2}}},
                {"in_use", {{"slots", 1}}},
                {"jobs", {{"preparing", 0}, {"queued", 1}, {"running", 1}, {"finalizing", 0}}},
                {"gpus", gpus},
                {"disk", {{"free_bytes", 12ULL << 30}, {"total_bytes", 80ULL << 30}}}}
        .dump();
  }
  std::string usage() const {
    const auto cpu = static_cast<std::int64_t>(cpu_seconds * 1e6);
    return json{
        {"time", to_rfc3339(cli::sample::noon() + std::chrono::seconds(seconds))},
        {"monotonic_us", 5'000'000 + seconds * 1'000'000},
        {"machine",
         {{"cpus", 4}, {"cpu_us", cpu}, {"memory_bytes", 24ULL << 30}, {"memory_available_bytes", 20ULL << 30}}},
        {"jobs",
         {{{"id", "quick-lynx-9abc"},
           {"launch", 1},
           {"cpu_us", cpu},
           {"memory_bytes", 1536ULL << 20},
           {"memory_peak_bytes", 1600ULL << 20},
           {"memory_limit_bytes", 4ULL << 30},
           {"processes", 3},
           {"log_bytes", 1000}}}}}
        .dump();
  }
  Reading reading() const { return reading_from_json(status(), json{{"jobs", jobs}}.dump(), usage()); }
};

}  // namespace berth::cli::top::sample
