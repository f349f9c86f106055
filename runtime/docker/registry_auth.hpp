#pragma once

// What a registry demands when it answers 401: the WWW-Authenticate field, read.

#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace berth::docker {

struct Challenge {
  std::string scheme;                             // "bearer", "basic": lower-case
  std::map<std::string, std::string> parameters;  // realm, service, scope; names lower-case
};

// The first challenge of a field; nothing for what is malformed.
std::optional<Challenge> parse_challenge(std::string_view field);

}  // namespace berth::docker
