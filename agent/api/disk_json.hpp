#pragma once

// The disk governor's reports as JSON; the keys are stable.

#include <nlohmann/json_fwd.hpp>

#include "agent/jobs/disk_report.hpp"

namespace berth::api {

nlohmann::json use_json(const jobs::DiskUse& use);
nlohmann::json report_json(const jobs::DiskReport& report, bool dry_run);

}  // namespace berth::api
