#pragma once

// What the disk manager holds and gives back, as the API tells it.

#include "agent/disk/report.hpp"
#include "agent/wire/node.hpp"

namespace berth::api {

wire::DiskUse told(const disk::Use& use);
wire::CleaningReport told(const disk::Report& report, bool dry_run);

}  // namespace berth::api
