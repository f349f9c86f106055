#include "tests/agent/store/fixture.hpp"

#include "tests/agent/model/ids.hpp"

using namespace berth;
using namespace berth::store;
using model::State;

namespace {

using Sequences = std::vector<Sequence>;

}  // namespace

TEST_CASE_FIXTURE(Fixture, "a job is found by its name, by the beginning of it, or as the last one") {
  const auto first = add(new_job(1));
  const auto second = add(new_job(2, 1001));
  CHECK(resolve(db, first.id.value(), 0) == first);
  CHECK(resolve(db, first.id.value().substr(0, first.id.value().size() - 2), 0) == first);
  CHECK(resolve(db, "@last", 1000) == first);
  CHECK(resolve(db, "@last", 1001) == second);
  CHECK(code_of([&] { resolve(db, "@last", 7); }) == Code::not_found);
  CHECK(code_of([&] { resolve(db, "zzzz", 1000); }) == Code::not_found);
  CHECK(code_of([&] { resolve(db, "", 1000); }) == Code::invalid);
  CHECK(code_of([&] { resolve(db, "a%_'\"", 1000); }) == Code::invalid);
  CHECK(id_of(db, second.sequence) == second.id);
  CHECK_FALSE(id_of(db, 77_job));
}

TEST_CASE_FIXTURE(Fixture, "the beginning of several names is ambiguous, and they are told") {
  std::vector<std::string> names;
  for (int i = 0; i < 7; ++i) {
    const auto job = add(new_job(i));
    names.push_back("brave-heron-" + std::to_string(2222 + i));
    db.run("UPDATE job SET id = ? WHERE sequence = ?", names.back(), job.sequence);
  }
  try {
    resolve(db, "brave-h", 1000);
    FAIL("it was resolved");
  } catch (const Error& error) {
    CHECK(error.code() == Code::conflict);
    CHECK(error.message() ==
          "'brave-h' is ambiguous: brave-heron-2222, brave-heron-2223, brave-heron-2224, brave-heron-2225, "
          "brave-heron-2226 and more");
  }
  CHECK(resolve(db, "brave-heron-2223", 1000).id == "brave-heron-2223"_job);
}

TEST_CASE_FIXTURE(Fixture, "lists are newest first, filtered, and go on from page to page") {
  add(new_job(1));
  add(new_job(2, 1001));
  add_running(3);
  add_final(4);
  auto other = new_job(5);
  other.request.experiment = "mnist";
  add(other);
  CHECK(list(db, {}) == Sequences{5_job, 4_job, 3_job, 2_job, 1_job});
  CHECK(list(db, {.limit = 2}) == Sequences{5_job, 4_job});
  CHECK(list(db, {.limit = 2, .before = 4_job}) == Sequences{3_job, 2_job});
  CHECK(list(db, {.states = {State::preparing}}) == Sequences{5_job, 2_job, 1_job});
  CHECK(list(db, {.states = {State::running, State::completed}}) == Sequences{4_job, 3_job});
  CHECK(list(db, {.states = {State::preparing}, .uid = 1000, .limit = 1, .before = 5_job}) == Sequences{1_job});
  CHECK(list(db, {.uid = 1001}) == Sequences{2_job});
  CHECK(list(db, {.experiment = "mnist"}) == Sequences{5_job});
  CHECK(list(db, {.states = {State::canceled}}).empty());
}

TEST_CASE_FIXTURE(Fixture,
                  "a list tells of jobs what their columns hold, in the order asked for, without their requests") {
  auto wanted = new_job(1);
  wanted.request.command = {"python", "train.py", "it's", std::string(100'000, 'x')};
  wanted.request.display_name = "digits";
  wanted.request.resources = {2500, 3_GiB, 1, 2, 20_GiB};
  wanted.request.timeout = std::chrono::minutes(10);
  wanted.request.environment_variables = {{"TOKEN", "secret"}};
  const auto first = add(wanted);
  const auto second = add_running(2);
  db.run("DELETE FROM request");
  const auto rows = listed(db, {second, 77_job, first.sequence});
  REQUIRE(rows.size() == 2);
  CHECK(rows[0].job.sequence == second);
  CHECK(rows[0].job.attempts.size() == 1);
  const auto& job = rows[1].job;
  const auto& title = rows[1].title;
  CHECK(job.request.display_name == "digits");
  CHECK(job.request.resources == wanted.request.resources);
  CHECK(job.request.timeout == wanted.request.timeout);
  CHECK(job.request.submission_id == wanted.request.submission_id);
  CHECK(job.request.command.empty());
  CHECK(job.request.environment_variables.empty());
  CHECK(job.submitted == first.submitted);
  CHECK(rows[1].request_bytes > 100'000);
  CHECK(request_bytes(db, first.sequence) == rows[1].request_bytes);
  CHECK(look_up(db, first.id.value(), 0).request.display_name == "digits");
  CHECK(look_up(db, "@last", 1000).attempts.size() == 1);
  CHECK(title.starts_with(R"(python train.py 'it'\''s' xxx)"));
  CHECK(title.ends_with("x…"));
  CHECK(title.size() <= kLongestTitle + 3);
}

TEST_CASE_FIXTURE(Fixture, "live jobs come with what recovery needs, in order") {
  auto wanted = new_job(1);
  wanted.request.resources = {2500, 3_GiB, 1, 2, 20_GiB};
  wanted.request.timeout = std::chrono::minutes(10);
  wanted.request.stop.grace = std::chrono::seconds(3);
  wanted.request.priority = 4;
  wanted.request.held = true;
  add(wanted);
  add_final(2);
  const auto running = add_running(3);
  const auto jobs = live(db);
  REQUIRE(jobs.size() == 2);
  CHECK(jobs[0].sequence == 1_job);
  CHECK(jobs[0].id == get(1_job).id);
  CHECK(jobs[0].uid == 1000);
  CHECK(jobs[0].state == State::preparing);
  CHECK(jobs[0].priority == 4);
  CHECK(jobs[0].held);
  CHECK(jobs[0].resources == wanted.request.resources);
  CHECK(jobs[0].timeout == std::chrono::minutes(10));
  CHECK(jobs[0].grace == std::chrono::seconds(3));
  CHECK(jobs[0].attempt == 0);
  CHECK(jobs[0].launch == 0);
  CHECK(jobs[1].sequence == running);
  CHECK(jobs[1].state == State::running);
  CHECK_FALSE(jobs[1].timeout);
  CHECK(jobs[1].attempt == 1);
  CHECK(jobs[1].launch == 1);
  CHECK(jobs[1].boot_id == "boot-a");
}
