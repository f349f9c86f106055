#pragma once

// Printing a job's log as it grows. The agent may be restarted meanwhile: the job lives on, and so does the
// follower, which goes on at the byte where it was: the end of the last frame that came whole.

#include <functional>
#include <string>

#include "agent/cli/agent.hpp"

namespace berth::cli {

using LogSink = std::function<void(const model::LogFrame& frame)>;

// From query.offset until the job has ended; returns its record then. `attempt` is the one whose log comes
// first; those of further attempts follow. Each attempt's log is asked for by itself: an offset is one of an attempt's
// log.
JobRecord follow(Agent& agent, const std::string& job, LogQuery query, int attempt, const LogSink& sink);

// The job's record once it has ended.
JobRecord wait_until_ended(Agent& agent, const std::string& job);

}  // namespace berth::cli
