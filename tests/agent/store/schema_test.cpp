#include <sys/stat.h>

#include <nlohmann/json.hpp>

#include "agent/model/command_text.hpp"
#include "runtime/db/migrations.hpp"
#include "tests/agent/store/fixture.hpp"

using namespace berth;
using namespace berth::store;
using model::State;

namespace {

Sequence resolve_sequence(db::Connection& db) {
  auto row = db.query("SELECT max(sequence) FROM job");
  REQUIRE(row.step());
  return Sequence(row.integer(0));
}

}  // namespace

// data/schema_1.sql is a database as the first version wrote it, with a job in each stage of its life. It
// never changes: whatever the schema becomes, these jobs must be read.
TEST_CASE("a database of schema 1 is read") {
  os::TempDir directory;
  auto db = db::Connection::open(directory / "agent.db");
  db.execute(os::read_file(std::string(BERTH_TEST_DATA) + "/schema_1.sql"));
  REQUIRE(db::schema_version(db) == 1);
  prepare_schema(db);
  const auto jobs = live(db);
  REQUIRE(jobs.size() == 2);
  CHECK(jobs[0].state == State::queued);
  CHECK(jobs[1].state == State::running);
  CHECK(jobs[1].boot_id == "0b1c2d3e");
  CHECK(jobs[1].resources == model::Resources{2500, 4_GiB, 1, 1});
  const auto done = resolve(db, "dapper-owl", 1000);
  CHECK(done.state == State::failed);
  CHECK(done.ending == model::Ending(model::Exited{3}));
  CHECK(done.attempts.size() == 2);
  CHECK(done.attempts[0].ending == model::Ending(model::Lost{model::Lost::Cause::reboot}));
  CHECK(done.attempts[1].launch == 2);
  CHECK(done.attempts[1].usage.peak_memory == 100_MiB);
  CHECK(done.attempts[1].outputs == digest_of(0x22));
  CHECK(done.request.command == std::vector<std::string>{"python", "train.py"});
  CHECK(done.request.tags.at("lr") == "0.1");
  CHECK(done.request.snapshot == digest_of(0x11));
  CHECK(listed(db, {done.sequence}).at(0).title == "python train.py");
  CHECK(find_upload(db, digest_of(0x11), 1000)->files == 3);
  CHECK(drained(db));
  CHECK_FALSE(done.log_removed);
  CHECK(doomed(db).empty());
  CHECK(events(db, {.after = 0}).events.empty());
  set_priority(db, by("ann"), jobs[0].sequence, jobs[0].priority + 1);
  const auto told = events(db, {.after = 0}).events;
  REQUIRE(told.size() == 1);
  CHECK(told[0].job == jobs[0].id);
  CHECK_FALSE(told[0].user.empty());
}

TEST_CASE("the titles of an older schema's jobs are made as new ones are") {
  os::TempDir directory;
  auto db = db::Connection::open(directory / "agent.db");
  db.execute(os::read_file(std::string(BERTH_TEST_DATA) + "/schema_1.sql"));
  const auto sequence = resolve_sequence(db);
  const std::vector<std::string> command{"sh", "-c", "echo it's", "", "a-b_c/d.e", "é", std::string(1000, 'z')};
  const nlohmann::json request{{"name", "n"}, {"command", command}};
  db.run("UPDATE request SET json = ? WHERE sequence = ?", request.dump(), sequence);
  prepare_schema(db);
  auto row = db.query("SELECT name, title FROM job WHERE sequence = ?", sequence);
  REQUIRE(row.step());
  CHECK(row.text(0) == "n");
  const auto title = model::command_text(command, kLongestTitle);
  CHECK(row.text(1).substr(0, 300) == title.substr(0, 300));
  CHECK(row.text(1).ends_with("z…"));
}

TEST_CASE_FIXTURE(Fixture, "a newer schema is refused and told") {
  db.execute("PRAGMA user_version = 99");
  CHECK(code_of([&] { prepare_schema(db); }) == Code::unsupported);
  CHECK(code_of([&] { check_schema(db); }) == Code::unsupported);
}
