#pragma once

// The disk manager's reports as JSON; the keys are stable.

#include <nlohmann/json_fwd.hpp>

#include "agent/disk/report.hpp"

namespace berth::api {

nlohmann::json use_json(const disk::Use& use);
nlohmann::json report_json(const disk::Report& report, bool dry_run);

}  // namespace berth::api
