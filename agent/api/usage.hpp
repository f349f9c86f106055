#pragma once

// What the running jobs and the machine use, as /v1/usage tells it.

#include <string>
#include <vector>

#include "agent/model/job.hpp"
#include "agent/wire/node.hpp"
#include "runtime/base/clock.hpp"

namespace berth::api {

struct RunningJob {
  model::JobId id;
  int launch = 0;
  std::string directory;  // of the launch
};

// Reads a few files per job: for a thread of the pool.
wire::NodeUsage usage_of(const std::vector<RunningJob>& running, const Clock& clock);

}  // namespace berth::api
