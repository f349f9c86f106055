#pragma once

// The JSON of an EnvironmentRequest: its kind, and the fields that are set. Only for the .cpp files of agent/model.

#include <nlohmann/json.hpp>

#include "agent/model/environment_request.hpp"

namespace berth::model {

EnvironmentRequest environment_from_json(const nlohmann::json& value);

}  // namespace berth::model
