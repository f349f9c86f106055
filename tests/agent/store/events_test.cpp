#include <algorithm>
#include <numeric>
#include <set>

#include "tests/agent/store/fixture.hpp"

#include "tests/agent/model/ids.hpp"

using namespace berth;
using namespace berth::store;
using model::Event;
using model::State;
using What = Event::What;

namespace {

struct EventFixture : Fixture {
  std::vector<Event> all() { return events(db, {.after = 0, .limit = 100'000}).events; }
  std::vector<Event> since(std::int64_t number) { return events(db, {.after = number, .limit = 100'000}).events; }
  std::int64_t last() { return events(db, {.limit = 1}).last; }
  std::vector<std::int64_t> numbers() {
    std::vector<std::int64_t> result;
    for (const auto& event : all()) result.push_back(event.sequence);
    return result;
  }
  // The one event of a change.
  Event of(const std::function<void()>& change) {
    const auto before = last();
    change();
    const auto found = since(before);
    REQUIRE(found.size() == 1);
    seen.insert(found.front().what);
    return found.front();
  }
  // One that has none, since nothing changes.
  void no_event(const std::function<void()>& repetition) {
    const auto before = last();
    repetition();
    CHECK(since(before).empty());
  }
  void fill(int count, uid_t uid, Instant when) {
    for (int i = 0; i < count; ++i) submit(db, {new_job(++jobs, uid)}, when, random);
  }

  std::set<What> seen;
  int jobs = 0;
};

model::Attempt attempt(int number, model::Ending ending) {
  model::Attempt result;
  result.number = number;
  result.ending = std::move(ending);
  return result;
}

}  // namespace

TEST_CASE_FIXTURE(EventFixture, "each step of a job's life has its event, and there is no other kind of event") {
  Sequence job;
  auto event = of([&] { job = add(new_job(1)).sequence; });
  CHECK(event.what == What::submitted);
  CHECK(event.state == State::preparing);
  CHECK(event.by == "ann");
  CHECK(event.user == "ann");
  CHECK(event.uid == 1000);
  CHECK(event.job == get(job).id);
  CHECK(event.time == at(0));

  event = of([&] { set_held(db, by("root"), job, true); });
  CHECK(event.what == What::held);
  CHECK(event.by == "root");
  CHECK(of([&] { set_held(db, kAnn, job, false); }).what == What::released);
  event = of([&] { set_priority(db, kAnn, job, 7); });
  CHECK(event.what == What::priority_changed);
  CHECK(event.priority == 7);

  event = of([&] { requeue(db, {at(1)}, job, attempt(1, model::SnapshotFailed{"a reason"}), State::preparing); });
  CHECK(event.what == What::requeued);
  CHECK(event.state == State::preparing);
  CHECK(event.attempt == 1);
  CHECK(event.by.empty());
  CHECK(event.time == at(1));
  CHECK(event.ending == model::Ending(model::SnapshotFailed{}));  // no reason

  CHECK(of([&] { prepared(db, {at(2)}, job, {}); }).what == What::queued);
  CHECK(of([&] { start_intent(db, {at(2)}, {job, 2, 1, "boot"}); }).what == What::started);
  CHECK(of([&] { postpone(db, {at(2)}, job); }).what == What::postponed);
  event = of([&] { start_intent(db, {at(2)}, {job, 2, 2, "boot"}); });
  CHECK(event.attempt == 2);
  CHECK(event.state == State::running);
  event = of([&] { ended(db, {at(3)}, job, attempt(2, model::Exited{3})); });
  CHECK(event.what == What::attempt_ended);
  CHECK(event.ending == model::Ending(model::Exited{3}));
  event = of([&] { finalized(db, {at(3)}, {job, State::failed, model::Exited{3}, at(3), {}}); });
  CHECK(event.what == What::ended);
  CHECK(event.state == State::failed);
  CHECK(event.attempt == 2);
  CHECK(event.by.empty());

  event = of([&] { reopen(db, kAnn, job, State::queued); });
  CHECK(event.what == What::retried);
  CHECK(event.by == "ann");
  CHECK(of([&] { cancel_requested(db, by("root"), job); }).by == "root");
  seen.insert(What::cancel_requested);
  event = of([&] { finalized(db, {at(4)}, {job, State::canceled, model::Canceled{"root"}, at(4), {}}); });
  CHECK(event.ending == model::Ending(model::Canceled{"root"}));

  const model::Removal removal{at(5), "to make room"};
  event = of([&] { remove_logs(db, {job}, removal); });
  CHECK(event.what == What::log_removed);
  CHECK(event.why == "to make room");
  CHECK(of([&] { remove_outputs(db, {job}, removal); }).what == What::outputs_removed);
  event = of([&] { forget(db, {job}, at(0), at(6)); });
  CHECK(event.what == What::forgotten);
  CHECK(event.time == at(6));

  for (std::size_t i = 0; i < names_of(What{}).size(); ++i) {
    CAPTURE(names_of(What{})[i]);
    CHECK(seen.contains(static_cast<What>(i)));
  }
  CHECK(all().size() == 17);
}

TEST_CASE_FIXTURE(EventFixture, "what is on record already is not told again, and neither is what is refused") {
  const auto job = add(new_job(1)).sequence;
  no_event([&] { submit(db, {new_job(1)}, at(1), random); });
  no_event([&] { set_held(db, kAnn, job, false); });
  no_event([&] { set_priority(db, kAnn, job, 0); });
  const auto failed = attempt(1, model::SnapshotFailed{});
  requeue(db, kAnn, job, failed, State::preparing);
  no_event([&] { requeue(db, kAnn, job, failed, State::preparing); });
  prepared(db, kAnn, job, {});
  no_event([&] { prepared(db, kAnn, job, {}); });
  no_event([&] { postpone(db, kAnn, job); });
  start_intent(db, kAnn, {job, 2, 1, "boot"});
  no_event([&] { start_intent(db, kAnn, {job, 2, 1, "boot"}); });
  no_event([&] { start_intent(db, kAnn, {job, 2, 2, "boot"}); });  // another launch of the same attempt
  ended(db, kAnn, job, attempt(2, model::Exited{0}));
  no_event([&] { ended(db, kAnn, job, attempt(2, model::Exited{0})); });
  cancel_requested(db, kAnn, job);
  no_event([&] { cancel_requested(db, by("root"), job); });
  const Final final{job, State::completed, model::Exited{0}, at(3), {}};
  finalized(db, kAnn, final);
  no_event([&] { finalized(db, kAnn, final); });
  no_event([&] { CHECK(code_of([&] { set_held(db, kAnn, job, true); }) == Code::conflict); });
  no_event([&] { remove_logs(db, {99_job}, {at(3), "why"}); });
}

TEST_CASE_FIXTURE(EventFixture, "an event is undone with its change, and its number is given to the next") {
  const auto job = add(new_job(1)).sequence;
  const auto before = last();
  {
    db::Transaction transaction(db);
    set_priority(db, kAnn, job, 5);
    CHECK(since(before).size() == 1);
  }
  CHECK(get(job).priority == 0);
  CHECK(since(before).empty());
  db::Transaction transaction(db);
  set_priority(db, kAnn, job, 6);
  {
    const db::Savepoint undone(db);
    set_held(db, kAnn, job, true);
  }
  transaction.commit();
  const auto left = since(before);
  REQUIRE(left.size() == 1);
  CHECK(left[0].sequence == before + 1);
  CHECK(left[0].priority == 6);
}

TEST_CASE_FIXTURE(EventFixture, "events are read in their order, a page at a time, of all or of one user") {
  for (int i = 0; i < 6; ++i) fill(1, i % 2 == 0 ? 1000 : 1001, at(i));
  CHECK(numbers() == std::vector<std::int64_t>{1, 2, 3, 4, 5, 6});
  auto page = events(db, {.after = 1, .limit = 2});
  CHECK(page.events.size() == 2);
  CHECK(page.events[0].sequence == 2);
  CHECK(page.last == 3);
  page = events(db, {.limit = 2});
  CHECK(page.events[0].sequence == 5);
  CHECK(page.last == 6);
  page = events(db, {.after = 0, .limit = 2, .uid = 1001});
  CHECK(page.events[1].sequence == 4);
  CHECK(page.last == 4);
  page = events(db, {.after = 4, .limit = 2, .uid = 1001});
  CHECK(page.events.size() == 1);
  CHECK(page.last == 6);
  page = events(db, {.limit = 2, .uid = 1000});
  CHECK(page.events[0].sequence == 3);
  CHECK(page.events[1].sequence == 5);
  CHECK(events(db, {.after = 6}).events.empty());
  CHECK(code_of([&] { events(db, {.after = 7}); }) == Code::invalid);
}

TEST_CASE("what there is room for is shared so that who has little keeps it") {
  CHECK(fair_share({}, 10) == 10);
  CHECK(fair_share({3, 4}, 10) == 10);
  CHECK(fair_share({100, 1}, 10) == 9);
  CHECK(fair_share({100, 2, 100}, 10) == 4);
  CHECK(fair_share({5, 5, 5}, 10) == 3);
}

TEST_CASE_FIXTURE(EventFixture,
                  "too many events push out the oldest of the user who has most, and who asks from before is told") {
  fill(3, 1000, at(0));
  fill(20, 1001, at(1));
  trim_events(db, at(2), {.most = 23});
  CHECK(all().size() == 23);
  trim_events(db, at(2), {.most = 10});
  CHECK(numbers() == std::vector<std::int64_t>{1, 2, 3, 17, 18, 19, 20, 21, 22, 23});
  auto page = events(db, {.after = 2});
  REQUIRE(page.gone.size() == 1);
  CHECK(page.gone[0].uid == 1001);
  CHECK(page.gone[0].user == "bob");
  CHECK(page.gone[0].up_to == 16);
  CHECK(events(db, {.after = 2, .uid = 1000}).gone.empty());
  CHECK(events(db, {.after = 2, .uid = 1001}).gone.size() == 1);
  CHECK(events(db, {.after = 16}).gone.empty());
  CHECK(events(db, {.limit = 5}).gone.empty());
  trim_events(db, at(2), {.most = 4});
  CHECK(numbers() == std::vector<std::int64_t>{2, 3, 22, 23});
  page = events(db, {.after = 0});
  CHECK(page.gone.size() == 2);
}

TEST_CASE_FIXTURE(EventFixture, "old events go, and numbers are never given again") {
  fill(3, 1000, at(0));
  const auto later = at(0) + EventBounds{}.kept + std::chrono::seconds(1);
  trim_events(db, later - std::chrono::seconds(2));
  CHECK(all().size() == 3);
  trim_events(db, later);
  CHECK(all().empty());
  CHECK(last() == 3);
  CHECK(events(db, {.after = 1}).gone.at(0).up_to == 3);
  fill(1, 1000, later);
  CHECK(numbers() == std::vector<std::int64_t>{4});
}

TEST_CASE_FIXTURE(EventFixture, "while events come the old ones are removed, and no more at a time than is quick") {
  fill(1500, 1000, at(0));
  const auto later = at(0) + 2 * EventBounds{}.kept;
  fill(499, 1000, later);
  CHECK(all().size() == 1999);
  fill(1, 1000, later);
  CHECK(all().size() == 500);
  trim_events(db, later + 2 * EventBounds{}.kept, {.most = 1000});
  CHECK(all().size() == 400);
}

TEST_CASE_FIXTURE(EventFixture,
                  "many jobs that are submitted at once have an event each, those that are known already none") {
  fill(1, 1000, at(0));
  std::vector<NewJob> many;
  for (int i = 1; i <= 2500; ++i) many.push_back(new_job(i, i <= 2000 ? 1000 : 1001));
  const auto later = at(0) + EventBounds{}.kept + std::chrono::seconds(1);
  const auto made = submit(db, many, later, random);
  CHECK(made.front().existed);
  const auto told = all();  // the old one is gone
  REQUIRE(told.size() == 2499);
  for (std::size_t i = 0; i < told.size(); ++i) {
    REQUIRE(told[i].job == made[i + 1].job.id);
    REQUIRE(told[i].what == What::submitted);
    REQUIRE(told[i].by == made[i + 1].job.user);
    REQUIRE(told[i].state == made[i + 1].job.state);
    REQUIRE(told[i].time == later);
  }
}

TEST_CASE_FIXTURE(EventFixture, "after a start of the machine no number is given that a lost event may have had") {
  CHECK(new_boot_for_events(db, "boot-a"));
  begin_events(db, "boot-a", at(0));
  CHECK_FALSE(new_boot_for_events(db, "boot-a"));
  fill(2, 1000, at(0));
  CHECK(new_boot_for_events(db, "boot-b"));
  begin_events(db, "boot-b", at(0));
  const auto from_what_was_lost = last() - 10;
  CHECK(from_what_was_lost > 1000);
  fill(1, 1000, at(0));
  const auto page = events(db, {.after = from_what_was_lost});
  CHECK(page.events.size() == 1);
  CHECK(page.gone.empty());
  CHECK(events(db, {.after = 2}).events.size() == 1);
}
