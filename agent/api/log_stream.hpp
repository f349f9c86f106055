#pragma once

// Sends a job's log over HTTP, as it is or as it grows. A follower is woken by inotify; a silent log wakes nobody.
// What is being written is never broken off for anything but the connection's end, so that a reader of any pace gets
// each byte once.

#include <cstdint>
#include <optional>
#include <string>

#include "agent/api/services.hpp"
#include "runtime/http/response.hpp"

namespace berth::api {

// One launch's output from `offset` to where it ends now.
async::Task<> send_log(http::Stream& out, const std::string& log, const std::string& index, std::uint64_t offset);

struct Following {
  store::Sequence job = 0;
  model::JobId id;
  uid_t reader = 0;
  int launch = 0;  // the first one; where there is none of at least this number yet, it is waited for
  std::optional<int> attempt;  // ends with this one; else with the job, with the logs of later attempts after the first's
  std::uint64_t offset = 0;
};
async::Task<> follow_log(http::Stream& out, Services& services, Following what);

}  // namespace berth::api
