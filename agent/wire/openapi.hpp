#pragma once

// The messages of the API as agent/api/openapi.yaml has them. For documents and tests: no program that is installed has
// it.

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace berth::wire {

// JSON Schemas by name.
nlohmann::ordered_json api_schemas();

// The document with its last part, from the line "components:" on, made anew of them.
std::string with_schemas(std::string_view document);

}  // namespace berth::wire
