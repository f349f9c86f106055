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

inline Instant at(int seconds) {
  return from_unix_micros(1'700'000'000'000'000 + seconds * 1'000'000LL);
}

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

struct Fixture {
  os::TempDir directory;
  std::string path = directory / "agent.db";
  db::Connection db = db::Connection::open(path);
  Random random = FakeRandom();

  Fixture() { prepare_schema(db); }

  model::Job add(const NewJob& job) { return submit(db, {job}, at(0), random).front().job; }
  model::Job get(Sequence sequence) { return find(db, sequence).value(); }
  // A job in its first attempt.
  Sequence add_running(int number) {
    const auto sequence = add(new_job(number)).sequence;
    prepared(db, sequence, {});
    start_intent(db, {sequence, 1, 1, "boot-a"});
    return sequence;
  }
  // A job that is over.
  Sequence add_final(int number) {
    const auto sequence = add_running(number);
    finalized(db, {sequence, model::State::completed, model::Exited{0}, at(9), std::nullopt});
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
