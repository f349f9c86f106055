#include "tests/agent/store/fixture.hpp"

#include "tests/agent/model/ids.hpp"

using namespace berth;
using namespace berth::store;

namespace {

const model::Removal kRemoval{at(100), "to make room: the disk was 93 % full"};

struct Ended : Fixture {
  Sequence with_outputs(int number, std::uint8_t byte, int seconds = 9) {
    const auto sequence = add_running(number);
    model::Attempt attempt;
    attempt.outputs = digest_of(byte);
    finalized(db, kAnn, {sequence, model::State::completed, model::Exited{0}, at(seconds), attempt});
    return sequence;
  }
  model::JobId id(Sequence sequence) { return get(sequence).id; }
};

}  // namespace

TEST_CASE_FIXTURE(Ended, "what remains of jobs is told, the live ones' too") {
  const auto over = with_outputs(1, 8);
  const auto runs = add_running(2);
  const auto all = remains(db);
  REQUIRE(all.size() == 2);
  CHECK(all[0].sequence == over);
  CHECK(all[0].finished == at(9));
  CHECK(all[0].has_log);
  CHECK(all[0].outputs == std::vector{digest_of(8)});
  CHECK(all[1].sequence == runs);
  CHECK_FALSE(all[1].finished);
}

TEST_CASE_FIXTURE(Ended,
                  "a removed log is told, its files are doomed up to the last launch, and a new run has a new one") {
  const auto over = with_outputs(1, 8);
  const auto runs = add_running(2);
  CHECK(remove_logs(db, {over, runs, 99_job}, kRemoval) == std::vector{over});
  CHECK(get(over).log_removed == kRemoval);
  CHECK_FALSE(get(over).outputs_removed);
  CHECK_FALSE(remains(db)[0].has_log);
  const auto files = doomed(db);
  REQUIRE(files.size() == 1);
  CHECK(files[0].job == id(over));
  CHECK(files[0].launch == 1);
  settle(db, {id(over)});
  CHECK(doomed(db).empty());

  reopen(db, kAnn, over, model::State::queued);
  CHECK(remove_logs(db, {over}, kRemoval).empty());
  start_intent(db, kAnn, {over, 2, 2, "b"});
  finalized(db, kAnn, {over, model::State::completed, model::Exited{0}, at(200), std::nullopt});
  CHECK(remains(db)[0].has_log);
}

TEST_CASE_FIXTURE(Ended, "removed outputs are told, and their objects are to be swept") {
  const auto over = with_outputs(1, 8);
  CHECK_FALSE(sweep_due(db));
  CHECK(remove_outputs(db, {over}, kRemoval) == std::vector{over});
  CHECK(get(over).outputs_removed == kRemoval);
  CHECK_FALSE(get(over).attempts.back().outputs);
  CHECK(roots(db).outputs.empty());
  CHECK(sweep_due(db));
  swept(db);
  CHECK_FALSE(sweep_due(db));
}

TEST_CASE_FIXTURE(Ended, "a forgotten job dooms its directory and its old code, and is told of in general") {
  remember(db, {Upload::Kind::snapshot, digest_of(1), 1000, 5_MiB, 1, at(0), 5_MiB});
  remember(db, {Upload::Kind::snapshot, digest_of(2), 1000, 5_MiB, 1, at(50), 5_MiB});
  auto first = new_job(1);
  first.request.snapshot = digest_of(1);
  auto second = new_job(2);
  second.request.snapshot = digest_of(2);
  std::vector<Sequence> over;
  for (const auto& wanted : {first, second}) {
    over.push_back(add(wanted).sequence);
    cancel_requested(db, kAnn, over.back());
    finalized(db, kAnn, {over.back(), model::State::canceled, model::Canceled{"ann"}, at(60), std::nullopt});
  }
  const auto runs = add_running(3);
  const auto name = id(over[0]);
  CHECK(forget(db, {over[0], over[1], runs}, at(30), at(100)) == over);
  CHECK_FALSE(find_upload(db, digest_of(1), 1000));
  CHECK(find_upload(db, digest_of(2), 1000));  // sent a moment ago: a job may follow
  CHECK(doomed(db).size() == 2);
  CHECK_FALSE(doomed(db)[0].launch);
  CHECK(forgotten(db)->ended == at(60));
  try {
    resolve(db, name.value(), 1000);
    FAIL("it was found");
  } catch (const Error& error) {
    CHECK(error.code() == Code::not_found);
    CHECK(error.hint().find("removed to give disk space back") != std::string::npos);
  }
}

TEST_CASE_FIXTURE(Ended, "a doom is never lessened, and its name is not given to another job") {
  const auto over = with_outputs(1, 8);
  const auto name = id(over);
  remove_logs(db, {over}, kRemoval);
  forget(db, {over}, at(0), at(0));
  REQUIRE(doomed(db).size() == 1);
  CHECK_FALSE(doomed(db)[0].launch);
  Random again = FakeRandom();
  CHECK(submit(db, {new_job(7)}, at(0), again)[0].job.id != name);
  settle(db, {name});
  again = FakeRandom();
  CHECK(submit(db, {new_job(8)}, at(0), again)[0].job.id == name);
}
