#pragma once

// What the running jobs and the machine use, as the JSON of /v1/usage.

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "agent/model/job.hpp"
#include "runtime/base/clock.hpp"

namespace berth::api {

struct RunningJob {
  model::JobId id;
  int launch = 0;
  std::string directory;  // of the launch
};

// Reads a few files per job: for a thread of the pool.
nlohmann::json usage_json(const std::vector<RunningJob>& running, const Clock& clock);

}  // namespace berth::api
