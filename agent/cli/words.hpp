#pragma once

// How the command line says things.

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/cli/output.hpp"
#include "agent/model/command_text.hpp"
#include "agent/model/job.hpp"
#include "runtime/base/clock.hpp"

namespace berth::cli {

// "3 minutes", "2 days": one unit, for columns; "1 second" is the least.
std::string brief_duration(std::chrono::microseconds duration);
// "3 minutes ago", "just now".
std::string ago(Instant then, Instant now);
using model::command_text;
// "Running", "Queued (held)", "Failed: exited with code 3".
std::string state_text(const model::Job& job);
// The same for a column: "Failed: exit code 3", "Failed: SIGKILL", "Canceled by grace" where that is not the
// owner.
std::string brief_state_text(const model::Job& job);
Style state_style(const model::Job& job);
// From the start of the last attempt to its end, or to now; nothing before the first start.
std::optional<std::chrono::microseconds> run_time(const model::Job& job, Instant now);

// "since" as people say it: "10m" (ago), "2026-03-14", "2026-03-14 15:09[:26]" in the zone of TZ, or RFC
// 3339. Error Code::invalid for anything else.
Instant parse_since(const std::string& text, Instant now);

}  // namespace berth::cli
