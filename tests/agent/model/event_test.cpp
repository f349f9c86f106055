#include "agent/model/event.hpp"

#include <doctest/doctest.h>

#include <set>

#include "tests/agent/model/ids.hpp"

using namespace berth;
using namespace berth::model;
using What = Event::What;

namespace {

Event event_of(What what) {
  Event event;
  event.sequence = 7;
  event.job = "brave-heron-7k2m"_job;
  event.uid = 1000;
  event.user = "ada";
  event.what = what;
  event.state = State::failed;
  event.by = "root";
  event.attempt = 2;
  event.priority = 5;
  event.ending = Exited{3};
  event.why = "to make room";
  return event;
}

}  // namespace

TEST_CASE("each kind of event has a name of its own, which is read back, and words") {
  std::set<std::string_view> names;
  for (std::size_t i = 0; i < names_of(What{}).size(); ++i) {
    const auto what = static_cast<What>(i);
    CHECK(names.insert(name(what)).second);
    CHECK(parse_what(name(what)) == what);
    CHECK_FALSE(to_words(event_of(what)).empty());
  }
  CHECK_FALSE(parse_what("nothing"));
}

TEST_CASE("events in words") {
  CHECK(to_words(event_of(What::started)) == "attempt 2 started");
  CHECK(to_words(event_of(What::priority_changed)) == "priority is now 5");
  CHECK(to_words(event_of(What::requeued)) == "attempt 2 ended: exited with code 3; another will follow");
  CHECK(to_words(event_of(What::ended)) == "Failed: exited with code 3");
  CHECK(to_words(event_of(What::log_removed)) == "log removed to make room");
}

TEST_CASE(
    "of another's job an event tells what the outline does: no attempt's ending, and who submitted or canceled alone") {
  for (std::size_t i = 0; i < names_of(What{}).size(); ++i) {
    const auto what = static_cast<What>(i);
    CAPTURE(name(what));
    const auto seen = in_outline(event_of(what));
    CHECK(seen.ending.has_value() == (what == What::ended));
    const bool told = what == What::submitted || what == What::cancel_requested;
    CHECK(seen.by.empty() == !told);
    CHECK(seen.state == State::failed);
  }
}
