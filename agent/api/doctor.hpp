#pragma once

// What the agent knows and `berth doctor` judges, as the JSON of /v1/doctor.

#include <nlohmann/json_fwd.hpp>

#include "agent/api/services.hpp"
#include "runtime/async/task.hpp"

namespace berth::api {

async::Task<nlohmann::json> doctor_json(Services& services);

}  // namespace berth::api
