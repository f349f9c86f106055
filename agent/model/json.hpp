#pragma once

// The JSON of the model's values: what travels over the API, what --json prints and what the database keeps.
// Keys are stable. Unknown fields in a request are errors that name them.

#include <nlohmann/json_fwd.hpp>

#include "agent/model/event.hpp"
#include "agent/model/job.hpp"

namespace berth::model {

nlohmann::json to_json(const Resources& resources);
nlohmann::json to_json(const Ending& ending);
nlohmann::json to_json(const LeftOut& left_out);
LeftOut left_out_from_json(const nlohmann::json& json);
nlohmann::json to_json(const EnvironmentRequest& environment);
nlohmann::json to_json(const JobRequest& request);
nlohmann::json to_json(const Attempt& attempt);
nlohmann::json to_json(const EnvironmentChanges& changes);
// The whole record: request, state, timing, attempts, ending, "exit_code", "ending_words", provenance.
nlohmann::json to_json(const Job& job);
// With "words"; what does not apply is null.
nlohmann::json to_json(const Event& event);

// What everybody who may look at the queue sees of a job, and what lists tell of each: no command, variables,
// directory, files, provenance or digests, and of its attempts the times of the last. Without `Reasons::yes` an ending
// tells its kind only: a reason may quote the command or what a build printed; with it a long reason is cut.
enum class Reasons { yes, no };
nlohmann::json outline_json(const Job& job, Reasons reasons);

// All throw Error Code::invalid naming the field ("job request: 'priority' must be a whole number …").
Ending ending_from_json(const nlohmann::json& json);
EnvironmentRequest environment_request_from_json(const nlohmann::json& json);
JobRequest request_from_json(const nlohmann::json& json);
Attempt attempt_from_json(const nlohmann::json& json);
EnvironmentChanges environment_changes_from_json(const nlohmann::json& json);
// Of a whole record, or of an outline: then the request is empty but for what outlines tell.
Job job_from_json(const nlohmann::json& json);

// How many values texts may hold, counting each element, field and list: what bounds the memory that reading them
// takes, which is many times their length.
struct JsonBudget {
  std::size_t values = 2'000'000;  // left
};
// Parses text that came from outside: depth, size and number of values bounded, Code::invalid with the position of the
// mistake, Code::too_large as soon as the budget is used up.
nlohmann::json parse_json(std::string_view text, JsonBudget& budget);
nlohmann::json parse_json(std::string_view text);

}  // namespace berth::model
