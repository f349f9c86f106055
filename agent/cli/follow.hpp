#pragma once

// Printing a job's log as it grows. The agent may be restarted meanwhile: the job lives on, and so does the
// follower, which goes on at the byte where it was.

#include <functional>
#include <string>
#include <string_view>

#include "agent/cli/agent.hpp"

namespace berth::cli {

using LogSink = std::function<void(std::string_view bytes)>;

// From query.offset until the job has ended; returns its record then. `attempt` is the one whose log comes
// first; those of further attempts follow. Each attempt's log is asked for by itself, so that a byte's place is known
// without counting on what else has passed.
JobRecord follow(Agent& agent, const std::string& job, LogQuery query, int attempt, const LogSink& sink);

// The job's record once it has ended.
JobRecord wait_until_ended(Agent& agent, const std::string& job);

}  // namespace berth::cli
