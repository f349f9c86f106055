#pragma once

// Members of JSON that somebody else wrote: what is not there, or of another type, is empty.

#include <nlohmann/json.hpp>
#include <string>

namespace berth::docker {

using Json = nlohmann::json;

// A copy: what it is of is often a temporary.
inline Json member(const Json& object, const char* name) {
  return object.is_object() && object.contains(name) ? object[name] : Json();
}

inline std::string text_of(const Json& object, const char* name) {
  const bool there = object.is_object() && object.contains(name) && object[name].is_string();
  return there ? object[name].get<std::string>() : std::string();
}

}  // namespace berth::docker
