#include "tests/agent/store/fixture.hpp"

#include "tests/agent/model/ids.hpp"

using namespace berth;
using namespace berth::store;
using model::Attempt;
using model::State;

namespace {

Attempt attempt_that_exited(int number, int code) {
  Attempt attempt;
  attempt.number = number;
  attempt.launch = number;
  attempt.started = at(1);
  attempt.ended = at(3);
  attempt.duration = std::chrono::microseconds(1'999'999);
  attempt.ending = model::Exited{code};
  attempt.usage = {std::chrono::microseconds(12), std::chrono::microseconds(34), 56_MiB, 7_MiB, 8_MiB};
  attempt.outputs = digest_of(3);
  attempt.environment_changes = {3, {"idna-3.7"}, {"six-1.16.0"}, false, "there are more than 3 files"};
  attempt.outputs_left_out = {2, {{"outputs/pipe", "is a pipe"}}};
  return attempt;
}

}  // namespace

TEST_CASE_FIXTURE(Fixture, "a job goes from preparation to its end, and everything about it is kept") {
  const auto sequence = add(new_job(1)).sequence;
  prepared(db, kAnn, sequence, {R"({"python":"3.11"})", std::nullopt});
  CHECK(get(sequence).state == State::queued);
  start_intent(db, kAnn, {sequence, 1, 1, "boot-a"});
  CHECK(get(sequence).state == State::running);
  CHECK(get(sequence).attempts.at(0).launch == 1);
  CHECK_FALSE(get(sequence).attempts.at(0).started);
  ended(db, kAnn, sequence, attempt_that_exited(1, 0));
  CHECK(get(sequence).state == State::finalizing);
  finalized(db, kAnn, {sequence, State::completed, model::Exited{0}, at(4), std::nullopt});
  const auto job = get(sequence);
  CHECK(job.state == State::completed);
  CHECK(job.ending == model::Ending(model::Exited{0}));
  CHECK(job.finished == at(4));
  CHECK(job.environment_record == R"({"python":"3.11"})");
  CHECK(job.attempts == std::vector{attempt_that_exited(1, 0)});
}

TEST_CASE_FIXTURE(Fixture, "an end may be recorded together with its attempt, in one step") {
  const auto sequence = add_running(1);
  finalized(db, kAnn, {sequence, State::completed, model::Exited{0}, at(4), attempt_that_exited(1, 0)});
  CHECK(get(sequence).attempts == std::vector{attempt_that_exited(1, 0)});
  CHECK(get(sequence).state == State::completed);
}

TEST_CASE_FIXTURE(Fixture, "what is known of an attempt already is kept when it is recorded again without it") {
  const auto sequence = add_running(1);
  ended(db, kAnn, sequence, attempt_that_exited(1, 0));
  Attempt again{.ending = model::Exited{0}};
  finalized(db, kAnn, {sequence, State::completed, model::Exited{0}, at(4), again});
  const auto attempt = get(sequence).attempts.at(0);
  CHECK(attempt.started == at(1));
  CHECK(attempt.outputs == digest_of(3));
  CHECK(attempt.outputs_left_out == model::LeftOut{2, {{"outputs/pipe", "is a pipe"}}});
  CHECK(attempt.launch == 1);
}

TEST_CASE_FIXTURE(Fixture, "a job that is started again has one more attempt") {
  const auto sequence = add_running(1);
  requeue(db, kAnn, sequence, attempt_that_exited(1, 3), State::queued);
  CHECK(get(sequence).state == State::queued);
  CHECK(code_of([&] { start_intent(db, kAnn, {sequence, 1, 2, "boot-a"}); }) == Code::conflict);
  CHECK(code_of([&] { start_intent(db, kAnn, {sequence, 2, 1, "boot-a"}); }) == Code::conflict);
  start_intent(db, kAnn, {sequence, 2, 2, "boot-b"});
  ended(db, kAnn, sequence, attempt_that_exited(2, 0));
  CHECK(code_of([&] { requeue(db, kAnn, sequence, attempt_that_exited(1, 3), State::queued); }) == Code::conflict);
  CHECK(code_of([&] { requeue(db, kAnn, sequence, attempt_that_exited(2, 3), State::completed); }) == Code::conflict);
  finalized(db, kAnn, {sequence, State::completed, model::Exited{0}, at(9), std::nullopt});
  CHECK(get(sequence).attempts.size() == 2);
}

TEST_CASE_FIXTURE(Fixture, "a job that is over may be run once more, and keeps its attempts") {
  const auto sequence = add_running(1);
  CHECK(code_of([&] { reopen(db, kAnn, sequence, State::queued); }) == Code::conflict);
  cancel_requested(db, kAnn, sequence);
  finalized(db, kAnn, {sequence, State::canceled, model::Canceled{"ann"}, at(4), attempt_that_exited(1, 143)});
  CHECK(code_of([&] { reopen(db, kAnn, sequence, State::running); }) == Code::conflict);
  reopen(db, kAnn, sequence, State::queued);
  const auto job = get(sequence);
  CHECK(job.state == State::queued);
  CHECK_FALSE(job.ending);
  CHECK_FALSE(job.finished);
  CHECK(job.canceled_by.empty());
  CHECK(job.attempts.size() == 1);
  CHECK(live(db).at(0).launch == 1);
  CHECK(code_of([&] { start_intent(db, kAnn, {sequence, 1, 2, "boot-a"}); }) == Code::conflict);
  start_intent(db, kAnn, {sequence, 2, 2, "boot-a"});
}

TEST_CASE_FIXTURE(Fixture, "an attempt that failed before it was launched is recorded too") {
  const auto sequence = add(new_job(1)).sequence;
  Attempt failed{.number = 1, .ended = at(1), .ending = model::EnvironmentFailed{"no python"}};
  requeue(db, kAnn, sequence, failed, State::preparing);
  CHECK(get(sequence).state == State::preparing);
  CHECK(get(sequence).attempts == std::vector{failed});
  prepared(db, kAnn, sequence, {});
  start_intent(db, kAnn, {sequence, 2, 1, "boot-a"});
  CHECK(live(db).at(0).attempt == 2);
}

TEST_CASE_FIXTURE(Fixture, "an attempt that could not start for what the node lacks was never begun") {
  const auto first = add_running(1);
  postpone(db, kAnn, first);
  CHECK(get(first).state == State::queued);
  CHECK(get(first).attempts.empty());
  start_intent(db, kAnn, {first, 1, 1, "boot-a"});
  requeue(db, kAnn, first, attempt_that_exited(1, 3), State::queued);
  start_intent(db, kAnn, {first, 2, 2, "boot-a"});
  postpone(db, kAnn, first);
  CHECK(get(first).attempts.size() == 1);  // what has ended stays
  start_intent(db, kAnn, {first, 2, 2, "boot-a"});
  cancel_requested(db, kAnn, first);
  finalized(db, kAnn, {first, State::canceled, model::Canceled{"ann"}, at(4), attempt_that_exited(2, 143)});
  CHECK(code_of([&] { postpone(db, kAnn, first); }) == Code::conflict);
}

TEST_CASE_FIXTURE(Fixture, "a launch that never began may be repeated under a higher number only") {
  const auto sequence = add_running(1);
  CHECK(code_of([&] { start_intent(db, kAnn, {sequence, 1, 1, "boot-b"}); }) == Code::conflict);
  start_intent(db, kAnn, {sequence, 1, 2, "boot-b"});
  CHECK(live(db).at(0).launch == 2);
  CHECK(live(db).at(0).boot_id == "boot-b");
  CHECK(code_of([&] { start_intent(db, kAnn, {sequence, 1, 1, "boot-a"}); }) == Code::conflict);
}

TEST_CASE_FIXTURE(Fixture, "what is written though it was told to have failed can be written again") {
  const auto sequence = add(new_job(1)).sequence;
  prepared(db, kAnn, sequence, {"{}", std::nullopt});
  prepared(db, kAnn, sequence, {"{}", std::nullopt});
  for (const auto* seal : {"", "a seal"}) {
    const StartIntent intent{sequence, 1, 1, "boot-a", {}, seal};
    start_intent(db, kAnn, intent);
    start_intent(db, kAnn, intent);
    CHECK(get(sequence).attempts.size() == 1);
    postpone(db, kAnn, sequence);
    postpone(db, kAnn, sequence);
    CHECK(get(sequence).state == State::queued);
    CHECK(get(sequence).attempts.empty());
  }
  start_intent(db, kAnn, {sequence, 1, 1, "boot-a"});
  ended(db, kAnn, sequence, attempt_that_exited(1, 0));
  ended(db, kAnn, sequence, attempt_that_exited(1, 0));
  CHECK(code_of([&] { start_intent(db, kAnn, {sequence, 1, 1, "boot-a"}); }) == Code::conflict);
}

TEST_CASE_FIXTURE(Fixture, "a cancellation is remembered with who asked first, from any live state") {
  const auto waiting = add(new_job(1)).sequence;
  cancel_requested(db, kAnn, waiting);
  cancel_requested(db, by("root"), waiting);
  CHECK(get(waiting).canceled_by == "ann");
  CHECK(get(waiting).state == State::cancel_requested);
  const auto running = add_running(2);
  cancel_requested(db, by("root"), running);
  ended(db, kAnn, running, attempt_that_exited(1, 1));
  finalized(db, kAnn, {running, State::canceled, model::Canceled{"root"}, at(4), std::nullopt});
  CHECK(code_of([&] { cancel_requested(db, kAnn, running); }) == Code::conflict);
}

TEST_CASE_FIXTURE(Fixture, "what a job's life does not allow is refused and changes nothing") {
  const auto waiting = add(new_job(1)).sequence;
  CHECK(code_of([&] { start_intent(db, kAnn, {waiting, 1, 1, "b"}); }) == Code::conflict);
  CHECK(code_of([&] { ended(db, kAnn, waiting, attempt_that_exited(1, 0)); }) == Code::conflict);
  CHECK(code_of([&] {
          finalized(db, kAnn, {waiting, State::completed, model::Exited{0}, at(1), {}});
        }) == Code::conflict);
  CHECK(code_of([&] { finalized(db, kAnn, {waiting, State::queued, model::Exited{0}, at(1), {}}); }) == Code::conflict);
  CHECK(get(waiting).state == State::preparing);
  const auto over = add_final(2);
  CHECK(code_of([&] { prepared(db, kAnn, over, {}); }) == Code::conflict);
  CHECK(code_of([&] { requeue(db, kAnn, over, attempt_that_exited(1, 0), State::queued); }) == Code::conflict);
  CHECK(code_of([&] { set_priority(db, kAnn, over, 1); }) == Code::conflict);
  CHECK(code_of([&] { set_held(db, kAnn, over, true); }) == Code::conflict);
  CHECK(forget(db, {waiting}, at(0), at(0)).empty());
  CHECK(code_of([&] { prepared(db, kAnn, 99_job, {}); }) == Code::not_found);
  const auto running = add_running(3);
  CHECK(code_of([&] { ended(db, kAnn, running, attempt_that_exited(2, 0)); }) == Code::conflict);
  CHECK(code_of([&] { set_held(db, kAnn, running, true); }) == Code::conflict);
}

TEST_CASE_FIXTURE(Fixture, "priority and hold change while a job waits; the request stays what it was") {
  const auto sequence = add(new_job(1)).sequence;
  set_priority(db, kAnn, sequence, 10);
  set_held(db, kAnn, sequence, true);
  CHECK(get(sequence).priority == 10);
  CHECK(get(sequence).held);
  CHECK(get(sequence).request == new_job(1).request);
  set_held(db, kAnn, sequence, false);
  CHECK_FALSE(get(sequence).held);
}

TEST_CASE_FIXTURE(Fixture, "a drained node stays drained") {
  CHECK_FALSE(drained(db));
  set_drained(db, true);
  auto other = db::Connection::open(path);
  CHECK(drained(other));
  set_drained(db, false);
  CHECK_FALSE(drained(other));
}

TEST_CASE_FIXTURE(Fixture, "what is kept of GPUs is the last that was written") {
  CHECK(gpu_record(db).empty());
  set_gpu_record(db, "one");
  set_gpu_record(db, "two");
  auto other = db::Connection::open(path);
  CHECK(gpu_record(other) == "two");
}

TEST_CASE_FIXTURE(Fixture, "a forgotten job leaves nothing behind") {
  const auto sequence = add_final(1);
  CHECK(forget(db, {sequence}, at(0), at(0)) == std::vector{sequence});
  CHECK_FALSE(find(db, sequence));
  for (const std::string table : {"job", "request", "attempt"}) {
    auto row = db.query("SELECT count(*) FROM " + table);
    row.step();
    CHECK(row.integer(0) == 0);
  }
}
