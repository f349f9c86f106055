#pragma once

// The node's status: as the API tells it for `berth status`, and as Prometheus text for /metrics.

#include <string>

#include "agent/api/node.hpp"
#include "agent/disk/report.hpp"
#include "agent/jobs/jobs.hpp"
#include "agent/wire/node.hpp"

namespace berth::api {

// "health" is "ok", or "degraded" with the reasons in "remarks".
wire::Status status_of(const Node& node, const jobs::Jobs& jobs, const disk::Use& disk, Instant now);
// https://prometheus.io/docs/instrumenting/exposition_formats/, text format 0.0.4.
std::string metrics_text(const Node& node, const jobs::Jobs& jobs, const disk::Use& disk);

}  // namespace berth::api
