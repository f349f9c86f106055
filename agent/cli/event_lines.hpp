#pragma once

// What the agent tells of events, as lines.

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace berth::cli {

struct EventQuery {
  std::optional<std::int64_t> after;  // nothing: the newest
  int limit = 100;
  bool mine = false;
  std::chrono::milliseconds wait{};  // for the next one, where there is none after `after`
};
// "/v1/events?limit=100&after=7".
std::string event_target(const EventQuery& query);

// What an answer comes to.
struct EventText {
  std::string lines;    // for standard output
  std::vector<std::string> remarks;  // what is not kept any more
  std::int64_t next = 0;
  std::size_t events = 0;
};

class EventLines {
 public:
  // As JSON, also what is not kept any more is a line: {"missing": …}.
  explicit EventLines(bool json) : json_(json) {}
  // Of the agent's answer to GET /v1/events. Of a user's events that are missing it tells once.
  EventText read(std::string_view answer);

 private:
  bool json_;
  std::map<std::int64_t, std::int64_t> told_;  // by uid, up to which event
};

}  // namespace berth::cli
