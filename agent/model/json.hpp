#pragma once

// The JSON of the model's values: what travels over the API, what --json prints and what the database keeps.
// Keys are stable. Unknown fields in a request are errors that name them.

#include <nlohmann/json_fwd.hpp>

#include "agent/model/job.hpp"

namespace berth::model {

nlohmann::json to_json(const Resources& resources);
nlohmann::json to_json(const Ending& ending);
nlohmann::json to_json(const LeftOut& left_out);
LeftOut left_out_from_json(const nlohmann::json& json);
nlohmann::json to_json(const EnvironmentRequest& environment);
nlohmann::json to_json(const JobRequest& request);
nlohmann::json to_json(const Attempt& attempt);
// The whole record: request, state, timing, attempts, ending, "exit_code", "ending_words", provenance.
nlohmann::json to_json(const Job& job);

// All throw Error Code::invalid naming the field ("job request: 'priority' must be a whole number …").
Ending ending_from_json(const nlohmann::json& json);
EnvironmentRequest environment_request_from_json(const nlohmann::json& json);
JobRequest request_from_json(const nlohmann::json& json);
Attempt attempt_from_json(const nlohmann::json& json);
Job job_from_json(const nlohmann::json& json);

// Parses text that came from outside: depth and size bounded, Code::invalid with the position of the mistake.
nlohmann::json parse_json(std::string_view text);

}  // namespace berth::model
