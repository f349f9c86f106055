#include "tests/agent/store/fixture.hpp"

using namespace berth;
using namespace berth::store;

namespace {

using Kind = Upload::Kind;

Upload sent(Kind kind, uid_t uid, std::uint8_t byte, ByteSize bytes = 1_MiB) {
  return {kind, digest_of(byte), uid, 5_MiB, 12, at(0), bytes};
}

struct ViewFixture : Fixture {
  bool may(uid_t uid, std::uint8_t byte, Kind kind = Kind::snapshot) {
    return may_use(db, kind, digest_of(byte), {uid, false});
  }
  bool reader_may(uid_t uid, std::uint8_t byte, Kind kind = Kind::snapshot) {
    return may_use(db, kind, digest_of(byte), {uid, true});
  }
  // A job of user 1000 that is over and left these outputs.
  Sequence job_with_outputs(std::uint8_t byte, ByteSize size) {
    const auto sequence = add_running(100 + byte);
    model::Attempt attempt;
    attempt.outputs = digest_of(byte);
    attempt.outputs_size = size;
    finalized(db, kAnn, {sequence, model::State::completed, model::Exited{0}, at(9), attempt});
    return sequence;
  }
};

}  // namespace

TEST_CASE_FIXTURE(ViewFixture, "a user may refer to what he sent, as what he sent it") {
  remember(db, sent(Kind::snapshot, 1000, 1));
  remember(db, sent(Kind::diff, 1000, 2));
  CHECK(may(1000, 1));
  CHECK_FALSE(may(1001, 1));
  CHECK_FALSE(reader_may(1001, 1));  // no job has it
  CHECK_FALSE(may(1000, 3));
  // A diff may be anything, a manifest too, with whatever it names: it is no snapshot.
  CHECK(may(1000, 2, Kind::diff));
  CHECK_FALSE(may(1000, 2));
  CHECK_FALSE(may(1000, 1, Kind::diff));
  remember(db, sent(Kind::snapshot, 1000, 2));
  CHECK(may(1000, 2));
  CHECK(may(1000, 2, Kind::diff));
}

TEST_CASE_FIXTURE(ViewFixture, "a job's code and outputs are its owner's to refer to, and whoever reads all jobs'") {
  remember(db, sent(Kind::snapshot, 1000, 1));
  remember(db, sent(Kind::diff, 1000, 2));
  remember(db, sent(Kind::snapshot, 1000, 3));
  auto wanted = new_job(1);
  wanted.request.snapshot = digest_of(1);
  wanted.request.diff = digest_of(2);
  wanted.request.environment.context = digest_of(3);
  add(wanted);
  job_with_outputs(8, 3_MiB);
  for (const auto byte : std::vector<std::uint8_t>{1, 3, 8}) {
    CHECK(may(1000, byte));
    CHECK_FALSE(may(1001, byte));
    CHECK(reader_may(0, byte));
  }
  CHECK(reader_may(0, 2, Kind::diff));
  CHECK_FALSE(may(1001, 2, Kind::diff));
  CHECK_FALSE(reader_may(0, 2));
}

TEST_CASE_FIXTURE(ViewFixture, "a job that names what its user may not refer to is answered as if it were nowhere") {
  remember(db, sent(Kind::snapshot, 1001, 1));
  remember(db, sent(Kind::diff, 1000, 2));
  const auto message = [&](auto change) {
    auto wanted = new_job(7);
    change(wanted.request);
    try {
      add(wanted);
    } catch (const Error& error) {
      CHECK(error.code() == Code::not_found);
      auto text = error.describe();
      return text.substr(0, text.find(' ')) + text.substr(text.find(" is not here"));
    }
    return std::string("taken");
  };
  const auto code = [&](std::uint8_t byte) { return message([&](auto& r) { r.snapshot = digest_of(byte); }); };
  const auto context = [&](std::uint8_t byte) {
    return message([&](auto& r) { r.environment.context = digest_of(byte); });
  };
  CHECK(code(1) == code(99));
  CHECK(code(2) == code(99));  // his diff
  CHECK(context(1) == context(99));
  CHECK(context(2) == context(99));
  CHECK(message([](auto& r) { r.diff = digest_of(1); }) == message([](auto& r) { r.diff = digest_of(99); }));
  job_with_outputs(8, 1_MiB);
  auto of_outputs = new_job(8);
  of_outputs.request.snapshot = digest_of(8);
  CHECK(add(of_outputs).request.snapshot == digest_of(8));  // the outputs of one job are the code of the next
}

TEST_CASE_FIXTURE(ViewFixture, "what a user stores is what he sent and what his jobs put out, until it goes") {
  CHECK(stored_by(db, 1000) == 0_MiB);
  remember(db, sent(Kind::snapshot, 1000, 1, 2_MiB));
  remember(db, sent(Kind::snapshot, 1001, 1, 40_MiB));
  remember(db, sent(Kind::snapshot, 1000, 1, 3_MiB));  // with fewer bases
  remember(db, sent(Kind::snapshot, 1000, 1, 1_MiB));
  CHECK(stored_by(db, 1000) == 3_MiB);
  const auto job = job_with_outputs(8, 10_MiB);
  CHECK(stored_by(db, 1000) == 13_MiB);
  CHECK(stored_by(db, 1001) == 40_MiB);
  CHECK(get(job).attempts.front().outputs_size == 10_MiB);
  remove_outputs(db, {job}, {at(20), "to make room"});
  CHECK(stored_by(db, 1000) == 3_MiB);
  forget_uploads(db, {find_upload(db, digest_of(1), 1000).value()});
  CHECK(stored_by(db, 1000) == 0_MiB);
}

TEST_CASE_FIXTURE(ViewFixture, "an environment is known to whose job was given it, and to who asked for it") {
  const auto job = add(new_job(1)).sequence;
  CHECK_FALSE(had_environment(db, digest_of(5), 1000));
  prepared(db, kAnn, job, {"{}", digest_of(5)});
  CHECK(had_environment(db, digest_of(5), 1000));
  CHECK_FALSE(had_environment(db, digest_of(5), 1001));
  // Its jobs are shown to who may read them, and how it is used is told of his own.
  CHECK(jobs_in(db, digest_of(5), {1001, false}).empty());
  CHECK(jobs_in(db, digest_of(5), {1001, true}).size() == 1);
  CHECK(jobs_in(db, digest_of(5), {1000, false}) == jobs_in(db, digest_of(5), {0, true}));
  CHECK(environments_of(db, 1001).empty());
  CHECK(environments_of(db, 1000).at(digest_of(5)).in_use);
  for (int i = 0; i < 2; ++i) note_environment(db, digest_of(5), 1001);
  CHECK(had_environment(db, digest_of(5), 1001));
}
