#pragma once

// What happened to jobs, as GET /v1/events tells it.

#include <string>
#include <vector>

#include "agent/model/event.hpp"
#include "runtime/base/fields.hpp"

namespace berth::wire {

struct Event {
  model::Event event;
  std::string words;  // what happened, for people
};
Event told(model::Event event);
void describe(Fields& fields, Event& event);

// Whose events are not all kept any more, up to which sequence.
struct MissingEvents {
  uid_t uid = 0;
  std::string user;
  std::int64_t up_to = 0;
};
void describe(Fields& fields, MissingEvents& missing);

// The answer. The agent sends it event by event.
struct EventPage {
  std::int64_t next = 0;
  std::vector<MissingEvents> missing;
  std::vector<Event> events;
};
void describe(Fields& fields, EventPage& page);

}  // namespace berth::wire
