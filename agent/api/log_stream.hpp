#pragma once

// Reads a job's log for its reader, as it is or as it grows. A follower is woken by inotify; a silent log wakes nobody.
// What is being written is never broken off for anything but the connection's end, so that a reader of any pace gets
// each byte once.

#include <cstdint>
#include <optional>
#include <string>

#include "agent/api/log_sink.hpp"
#include "agent/api/services.hpp"

namespace berth::api {

// A log from `offset` to where it ends now; `attempt` is the one it is of, 0 for none.
async::Task<> send_log(LogSink& out, const std::string& log, const std::string& index, int attempt,
                       std::uint64_t offset);

struct Following {
  store::Sequence job;
  model::JobId id;
  model::LimitKey reader = 0;
  int launch = 0;  // the first one; where there is none of at least this number yet, it is waited for
  std::optional<int>
      attempt;  // ends with this one; else with the job, with the logs of later attempts after the first's
  std::uint64_t offset = 0;  // in the first launch's log
};
async::Task<> follow_log(LogSink& out, Services& services, Following what);

}  // namespace berth::api
