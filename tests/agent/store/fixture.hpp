#pragma once

// A fresh database with the schema in it, names and times that repeat, and requests to put in.

#include <doctest/doctest.h>

#include <functional>

#include "agent/store/records.hpp"
#include "runtime/base/error.hpp"

namespace berth::store {

inline Digest digest_of(std::uint8_t byte) {
  Digest digest;
  digest.bytes.fill(byte);
  return digest;
}

inline Instant at(int seconds) { return from_unix_micros(1'700'000'000'000'000 + seconds * 1'000'000LL); }

inline Origin by(std::string user) { return {at(0), std::move(user)}; }
inline const Origin kAnn = by("ann");

// The submission id is made of the number.
inline NewJob new_job(int number, uid_t uid = 1000) {
  NewJob job{.uid = uid, .user = uid == 1000 ? "ann" : "bob"};
  auto digits = std::to_string(number);
  job.request.submission_id = std::string(32 - digits.size(), '0') + digits;
  job.request.command = {"python", "train.py", "--seed", digits};
  job.request.working_directory = "/home/ann/project";
  job.request.environment_variables = {{"OMP_NUM_THREADS", "1"}};
  return job;
}

class FakeRandom {
 public:
  std::uint64_t operator()() { return state_ = state_ * 6364136223846793005ULL + 1442695040888963407ULL; }

 private:
  std::uint64_t state_ = 1;
};

// Counts the changes of jobs' lives on a connection, and the events that tell of them.
inline constexpr const char* kWatch = R"sql(
CREATE TEMP TABLE watch (changes INTEGER, events INTEGER);
INSERT INTO watch VALUES (0, 0);
CREATE TEMP TRIGGER made AFTER INSERT ON job BEGIN UPDATE watch SET changes = changes + 1; END;
CREATE TEMP TRIGGER gone AFTER DELETE ON job BEGIN UPDATE watch SET changes = changes + 1; END;
CREATE TEMP TRIGGER changed AFTER UPDATE ON job
  WHEN OLD.state <> NEW.state OR OLD.held <> NEW.held OR OLD.priority <> NEW.priority OR OLD.attempt <> NEW.attempt
    OR OLD.log_removed IS NOT NEW.log_removed OR OLD.outputs_removed IS NOT NEW.outputs_removed
  BEGIN UPDATE watch SET changes = changes + 1; END;
CREATE TEMP TRIGGER told AFTER INSERT ON event BEGIN UPDATE watch SET events = events + 1; END;
)sql";

struct Fixture {
  os::TempDir directory;
  std::string path = directory / "agent.db";
  db::Connection db = db::Connection::open(path);
  Random random = FakeRandom();

  Fixture() {
    prepare_schema(db);
    db.execute(kWatch);
  }
  // Whatever a test did to the life of a job has been told, and nothing else.
  ~Fixture() {
    auto row = db.query("SELECT changes, events FROM watch");
    row.step();
    CHECK(row.integer(0) == row.integer(1));
  }

  model::Job add(const NewJob& job) { return submit(db, {job}, at(0), random).front().job; }
  model::Job get(Sequence sequence) { return find(db, sequence).value(); }
  // A job in its first attempt.
  Sequence add_running(int number) {
    const auto sequence = add(new_job(number)).sequence;
    prepared(db, kAnn, sequence, {});
    start_intent(db, kAnn, {sequence, 1, 1, "boot-a"});
    return sequence;
  }
  // A job that is over.
  Sequence add_final(int number) {
    const auto sequence = add_running(number);
    finalized(db, kAnn, {sequence, model::State::completed, model::Exited{0}, at(9), std::nullopt});
    return sequence;
  }
};

inline Code code_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    INFO(error.describe());
    return error.code();
  }
  FAIL("nothing was thrown");
  return Code::internal;
}

}  // namespace berth::store
