#pragma once

// Environments for people and for other tools, from the agent's JSON of /v1/environments. Pure.

#include <string>
#include <string_view>

#include "agent/cli/output.hpp"
#include "runtime/base/clock.hpp"

namespace berth::cli {

inline constexpr std::size_t kEnvironmentDigits = 12;  // of a digest, for people

std::string environments_table(std::string_view list, Instant now, const Screen& screen);
std::string environment_page(std::string_view environment, Instant now, const Screen& screen);
// What its lock says in a form that conda (an @EXPLICIT list), pip (a requirements file) or Docker (a reference) takes.
// Error Code::unsupported for a kind that has none.
std::string exported(std::string_view environment);

}  // namespace berth::cli
