#pragma once

// What happened to a job, told once: a step of its life, or what was changed or removed of it. A pure value. It
// tells no command, variable or reason of a failure: those are in the job's record.

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "agent/model/job.hpp"

namespace berth::model {

struct Event {
  enum class What {
    submitted,
    queued,  // it is prepared
    started,  // an attempt is about to
    held,
    released,
    priority_changed,
    cancel_requested,
    attempt_ended,  // its outputs are being collected
    requeued,  // an attempt ended, and another will follow
    postponed,  // an attempt was to start and could not for what the node lacks: as if it had never begun
    ended,  // the job
    retried,  // it was over, and is run once more
    log_removed,
    outputs_removed,
    forgotten,  // its record was removed
  };

  std::int64_t sequence = 0;  // its number: later ones have higher numbers, and none is given twice
  Instant time{};  // when it was recorded
  JobId job;
  uid_t uid = 0;  // whose job it is
  std::string user;
  What what = What::submitted;
  State state = State::preparing;  // of the job since then
  std::string by;  // the user who asked for it; "" for what the agent did by itself
  int attempt = 0;  // the one it tells of, else the last one; 0 before the first
  std::optional<int> priority;  // the new one, where it was changed
  std::optional<Ending> ending;  // of the attempt or the job that ended, without its reason
  std::string why;  // of what was removed: "to make room: the disk was 93 % full"
};

// The stable name: "submitted", …, "priority_changed", ….
std::string_view name(Event::What what);
std::span<const std::string_view> names_of(Event::What);  // all, in their order
std::optional<Event::What> parse_what(std::string_view name);
// What happened, for people, without who did it: "submitted", "attempt 2 started", "Failed: exited with code 3".
std::string to_words(const Event& event);
// What everybody who may look at the queue is told of it: as much as outlines of jobs tell (wire::JobOutline), so
// neither how an attempt ended before the job did, nor who held, released, changed or retried the job.
Event in_outline(Event event);

}  // namespace berth::model
