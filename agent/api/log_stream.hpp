#pragma once

// Sends a job's log over HTTP, as it is or as it grows. A follower is woken by inotify; a silent log wakes nobody.

#include <cstdint>

#include "agent/jobs/jobs.hpp"
#include "agent/jobs/workplace.hpp"
#include "runtime/async/watcher.hpp"
#include "runtime/http/response.hpp"

namespace berth::api {

// One launch's output from `offset` to where it ends now.
async::Task<> send_log(http::Stream& out, const std::string& log, const std::string& index, std::uint64_t offset);

// The same from launch `launch` (0: the job has not started yet) on, until the job is final; with the logs of later
// attempts after the first one's.
async::Task<> follow_log(http::Stream& out, jobs::Jobs& jobs, const jobs::Workplaces& workplaces,
                         async::Watcher& watcher, store::Sequence job, model::JobId id, int launch,
                         std::uint64_t offset);

}  // namespace berth::api
