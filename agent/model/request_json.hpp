#pragma once

// The JSON of a JobRequest's fields within an object that has others, too. Only for the .cpp files of agent/model.

#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "agent/model/job.hpp"
#include "agent/model/json_reader.hpp"

namespace berth::model {

// All of a request but for what a job shows as its own: priority and held.
void write_request(nlohmann::json& object, const JobRequest& request);
JobRequest read_request(JsonReader& fields);

template <class T, class F>
nlohmann::json or_null(const std::optional<T>& value, F show) {
  return value ? nlohmann::json(show(*value)) : nlohmann::json(nullptr);
}

inline std::string to_hex(const Digest& digest) { return digest.hex(); }

}  // namespace berth::model
