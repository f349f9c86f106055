#include "tests/agent/store/fixture.hpp"

#include "tests/agent/model/ids.hpp"

using namespace berth;
using namespace berth::store;
using model::State;

TEST_CASE_FIXTURE(Fixture, "a job is remembered with all that was asked for") {
  remember(db, {Upload::Kind::snapshot, digest_of(1), 1000, 5_MiB, 12, at(0), 5_MiB});
  remember(db, {Upload::Kind::diff, digest_of(2), 1000, 1_KiB, 0, at(0), 1_KiB});
  auto wanted = new_job(1);
  wanted.request.snapshot = digest_of(1);
  wanted.request.working_directory = "src";
  wanted.request.diff = digest_of(2);
  wanted.request.tags = {{"a", "ß"}};
  wanted.request.priority = 7;
  wanted.request.held = true;
  wanted.request.timeout = std::chrono::minutes(3);
  const auto result = submit(db, {wanted}, at(5), random);
  REQUIRE(result.size() == 1);
  CHECK_FALSE(result[0].existed);
  const auto& job = result[0].job;
  CHECK(model::is_job_id(job.id.value()));
  CHECK(job.sequence == 1_job);
  CHECK(job.uid == 1000);
  CHECK(job.user == "ann");
  CHECK(job.state == State::preparing);
  CHECK(job.priority == 7);
  CHECK(job.held);
  CHECK(job.submitted == at(5));
  CHECK(job.request == wanted.request);
  CHECK(find(db, job.id) == job);
}

TEST_CASE_FIXTURE(Fixture, "a job with nothing to prepare may begin as queued") {
  auto wanted = new_job(1);
  wanted.state = State::queued;
  const auto sequence = add(wanted).sequence;
  start_intent(db, kAnn, {sequence, 1, 1, "boot-a"});
  CHECK(get(sequence).state == State::running);
}

TEST_CASE_FIXTURE(Fixture, "the same submission again is the same job") {
  const auto first = add(new_job(1));
  prepared(db, kAnn, first.sequence, {"{}", std::nullopt});
  set_priority(db, kAnn, first.sequence, 9);
  const auto again = submit(db, {new_job(2), new_job(1)}, at(100), random);
  CHECK_FALSE(again[0].existed);
  CHECK(again[1].existed);
  CHECK(again[1].job.id == first.id);
  CHECK(again[1].job.state == State::queued);
  CHECK(again[1].job.submitted == at(0));
  CHECK(live(db).size() == 2);
}

TEST_CASE_FIXTURE(Fixture, "a submission twice in one batch is one job") {
  const auto result = submit(db, {new_job(1), new_job(1)}, at(0), random);
  CHECK_FALSE(result[0].existed);
  CHECK(result[1].existed);
  CHECK(result[0].job == result[1].job);
}

TEST_CASE_FIXTURE(Fixture, "a known submission id with another request, or from another user, is refused") {
  add(new_job(1));
  auto other = new_job(1);
  other.request.command.push_back("--more");
  CHECK(code_of([&] { submit(db, {other}, at(0), random); }) == Code::conflict);
  CHECK(code_of([&] { submit(db, {new_job(1, 1001)}, at(0), random); }) == Code::conflict);
}

TEST_CASE_FIXTURE(Fixture, "a snapshot or diff that this user has not sent is refused, and all of the batch with it") {
  auto wanted = new_job(1);
  wanted.request.snapshot = digest_of(1);
  CHECK(code_of([&] { submit(db, {wanted}, at(0), random); }) == Code::not_found);
  remember(db, {Upload::Kind::snapshot, digest_of(1), 1001, 5_MiB, 12, at(0), 5_MiB});
  CHECK(code_of([&] { submit(db, {wanted}, at(0), random); }) == Code::not_found);
  wanted.request.snapshot.reset();
  wanted.request.diff = digest_of(2);
  {
    db::Transaction transaction(db);
    CHECK(code_of([&] { submit(db, {new_job(2), wanted}, at(0), random); }) == Code::not_found);
  }
  CHECK(live(db).empty());
}

TEST_CASE_FIXTURE(Fixture, "a name that is taken is not given again, and neither is a number") {
  int calls = 0;
  const Random stuck = [&calls]() -> std::uint64_t { return calls++ < 3 ? 5 : 6; };
  const auto first = submit(db, {new_job(1)}, at(0), stuck)[0].job;
  const auto second = submit(db, {new_job(2)}, at(0), stuck)[0].job;
  CHECK(first.id != second.id);
  cancel_requested(db, kAnn, second.sequence);
  finalized(db, kAnn, {second.sequence, State::canceled, model::Canceled{"ann"}, at(1), std::nullopt});
  forget(db, {second.sequence}, at(0), at(0));
  CHECK(submit(db, {new_job(3)}, at(0), random)[0].job.sequence.value() == second.sequence.value() + 1);
  const Random always = [] { return std::uint64_t{5}; };
  CHECK(code_of([&] { submit(db, {new_job(4)}, at(0), always); }) == Code::internal);
}

TEST_CASE_FIXTURE(Fixture, "the secrets of a job are stored with it, and go with it") {
  auto wanted = new_job(1);
  wanted.sealed = std::string("sealed\0bytes", 12);
  wanted.request.secrets = {{"HF_TOKEN", {false, true}}};
  wanted.request.secrets_mark = "1234";
  const auto job = add(wanted);
  CHECK(sealed(db, job.sequence) == wanted.sealed);
  CHECK(get(job.sequence).request == wanted.request);
  CHECK_FALSE(sealed(db, add(new_job(2)).sequence));
  auto again = wanted;
  again.sealed = "sealed anew";
  CHECK(submit(db, {again}, at(1), random).front().existed);
  CHECK(sealed(db, job.sequence) == wanted.sealed);
  again.request.secrets_mark = "5678";
  CHECK(code_of([&] { submit(db, {again}, at(1), random); }) == Code::conflict);

  prepared(db, kAnn, job.sequence, {});
  start_intent(db, kAnn, {job.sequence, 1, 1, "boot-a"});
  finalized(db, kAnn, {job.sequence, model::State::completed, model::Exited{0}, at(9), std::nullopt});
  CHECK(sealed(db, job.sequence) == wanted.sealed);
  forget(db, {job.sequence}, at(0), at(10));
  CHECK_FALSE(sealed(db, job.sequence));
}

TEST_CASE_FIXTURE(Fixture, "requests of an earlier version are handed out and replaced, once") {
  const auto first = add(new_job(1)).sequence;
  const auto second = add(new_job(2)).sequence;
  CHECK_FALSE(secrets_apart(db));
  const auto requests = requests_after(db, {}, 1);
  REQUIRE(requests.size() == 1);
  CHECK(requests[0].sequence == first);
  auto rest = requests_after(db, first, 10);
  REQUIRE(rest.size() == 1);
  CHECK(rest[0].sequence == second);
  set_apart(db, {second, rest[0].json}, "sealed");
  CHECK(sealed(db, second) == "sealed");
  CHECK(get(second).request == new_job(2).request);
  set_secrets_apart(db);
  CHECK(secrets_apart(db));
}
