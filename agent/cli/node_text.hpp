#pragma once

// The node for people. Pure.

#include <string>
#include <string_view>

#include "agent/cli/output.hpp"

namespace berth::cli {

// The agent's JSON of /v1/status; what an older or newer one does not tell is left out. `socket` says which agent that
// is.
std::string status_page(std::string_view status, const std::string& socket, const Screen& screen);
// That of /v1/gc.
std::string garbage_page(std::string_view report, bool dry_run, const Screen& screen);

}  // namespace berth::cli
