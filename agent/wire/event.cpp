#include "agent/wire/event.hpp"

#include "agent/wire/ending.hpp"

namespace berth::wire {

Event told(model::Event event) {
  auto words = to_words(event);
  return {std::move(event), std::move(words)};
}

void describe(Fields& fields, Event& told) {
  fields.answered("Event",
                  "A step of a job's life, or what was changed or removed of it. What does not apply is null.");
  auto& event = told.event;
  fields.field("sequence", event.sequence, "Its number: later ones have higher numbers, and none is given twice.");
  fields.field("time", event.time, "When it was recorded.", {.required = true});
  fields.field("job", event.job, "The job's name.");
  fields.field("uid", event.uid, "Whose job it is.");
  fields.field("user", event.user, "That user's name.");
  fields.field("what", event.what, "What happened.", {.lenient = true});
  fields.field("words", told.words, "The same for people.");
  fields.field("state", event.state, "Of the job since then.", {.lenient = true});
  fields.field("by", event.by, "The user who asked for it; null for what the agent did by itself.", {.or_null = true});
  fields.field("attempt", event.attempt, "The one it tells of, else the last one; 0 before the first.");
  fields.field("priority", event.priority, "The new one.");
  fields.shown(
      "ending", [&] { return event.ending; }, "Of the attempt or the job that ended, without its reason.");
  fields.field("why", event.why, "Of what was removed.", {.or_null = true});
}

void describe(Fields& fields, MissingEvents& missing) {
  fields.answered("MissingEvents", "Whose events are not all kept any more.");
  fields.field("uid", missing.uid, "Whose.");
  fields.field("user", missing.user, "That user's name.");
  fields.field("up_to", missing.up_to, "The last sequence that may be missing.");
}

void describe(Fields& fields, EventPage& page) {
  fields.answered("EventPage", "Events in order.");
  fields.field("next", page.next, "What to give as `after` next.");
  fields.field("missing", page.missing, "Of an answer to `after`: what is not told of the time since then.",
               {.required = true});
  fields.field("events", page.events, "The oldest first.", {.required = true});
}

}  // namespace berth::wire
