#pragma once

// Members of JSON that somebody else wrote: what is not there, or of another type, is empty.

#include <nlohmann/json.hpp>
#include <string>

#include "runtime/base/json.hpp"

namespace berth::docker {

using Json = nlohmann::json;

// Of what registries, credential helpers and configuration files of users say. An engine is asked for long lists.
constexpr JsonBounds kAnswerBounds{.bytes = 8U << 20, .values = 100'000, .depth = 32};

// A copy: what it is of is often a temporary.
inline Json member(const Json& object, const char* name) {
  return object.is_object() && object.contains(name) ? object[name] : Json();
}

inline std::string text_of(const Json& object, const char* name) {
  const bool there = object.is_object() && object.contains(name) && object[name].is_string();
  return there ? object[name].get<std::string>() : std::string();
}

}  // namespace berth::docker
