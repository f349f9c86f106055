#include "tests/agent/store/fixture.hpp"

using namespace berth;
using namespace berth::store;

namespace {

Upload snapshot_of(uid_t uid, std::uint8_t byte, int seconds = 0) {
  return {Upload::Kind::snapshot, digest_of(byte), uid, 5_MiB, 12, at(seconds), 2_MiB};
}

Upload diff_of(uid_t uid, std::uint8_t byte) {
  return {Upload::Kind::diff, digest_of(byte), uid, 5_KiB, 0, at(0), 5_KiB};
}

}  // namespace

TEST_CASE_FIXTURE(Fixture, "an upload is known to its sender, and new again when it is sent again") {
  remember(db, snapshot_of(1000, 1));
  CHECK(find_upload(db, digest_of(1), 1000) == snapshot_of(1000, 1));
  CHECK_FALSE(find_upload(db, digest_of(1), 1001));
  CHECK_FALSE(find_upload(db, digest_of(2), 1000));
  remember(db, snapshot_of(1000, 1, 50));
  CHECK(find_upload(db, digest_of(1), 1000)->created == at(50));
  remember(db, snapshot_of(1001, 1));
  CHECK(find_upload(db, digest_of(1), 1001));
  CHECK(roots(db).snapshots == std::vector{digest_of(1)});
}

TEST_CASE_FIXTURE(Fixture, "roots are what remembered jobs and uploads refer to") {
  remember(db, snapshot_of(1000, 1));
  remember(db, diff_of(1000, 2));
  remember(db, snapshot_of(1000, 3));
  auto wanted = new_job(1);
  wanted.request.snapshot = digest_of(1);
  wanted.request.diff = digest_of(2);
  wanted.state = model::State::queued;
  const auto sequence = add(wanted).sequence;
  start_intent(db, kAnn, {sequence, 1, 1, "b"});
  model::Attempt attempt;
  attempt.outputs = digest_of(8);
  finalized(db, kAnn, {sequence, model::State::completed, model::Exited{0}, at(5), attempt});
  CHECK(roots(db).snapshots == std::vector{digest_of(1), digest_of(3)});
  CHECK(roots(db).diffs == std::vector{digest_of(2)});
  CHECK(roots(db).outputs == std::vector{digest_of(8)});
  forget_uploads(db, {uploads(db)[0].upload, uploads(db)[1].upload, uploads(db)[2].upload});
  CHECK(roots(db).snapshots == std::vector{digest_of(1)});  // what the job uses stays
  forget(db, {sequence}, at(100), at(200));
  CHECK(roots(db).snapshots.empty());
  CHECK(roots(db).diffs.empty());
  CHECK(roots(db).outputs.empty());
}

TEST_CASE_FIXTURE(Fixture, "an upload is forgotten when no job of its sender uses it and it is as it was") {
  remember(db, snapshot_of(1000, 1));
  remember(db, snapshot_of(1001, 1));
  remember(db, snapshot_of(1000, 2));
  auto wanted = new_job(1);
  wanted.request.snapshot = digest_of(1);
  add(wanted);
  const auto all = uploads(db);
  REQUIRE(all.size() == 3);
  std::vector<Upload> seen;
  for (const auto& [upload, used] : all) {
    CHECK(used == (upload.uid == 1000 && upload.digest == digest_of(1)));
    seen.push_back(upload);
  }
  remember(db, snapshot_of(1000, 2, 60));  // sent again meanwhile: somebody is about to use it
  CHECK(forget_uploads(db, seen) == std::vector{snapshot_of(1001, 1)});
  CHECK(find_upload(db, digest_of(1), 1000));
  CHECK(find_upload(db, digest_of(2), 1000));
}

TEST_CASE_FIXTURE(Fixture,
                  "what others of a user hold of what is forgotten counts once it was looked at, and no longer") {
  auto base = snapshot_of(1000, 1);
  base.sent = base.size;
  auto delta = snapshot_of(1000, 2);
  remember(db, base);
  CHECK(to_recount(db).empty());
  remember(db, delta);  // it builds on something
  CHECK(to_recount(db) == std::vector<uid_t>{1000});
  recounted(db, 1000, holdings(db, 1000), 7_MiB);
  CHECK(to_recount(db).empty());
  CHECK(stored_by(db, 1000) == 7_MiB);

  forget_uploads(db, {base});
  CHECK(stored_by(db, 1000) == 2_MiB);
  CHECK(to_recount(db) == std::vector<uid_t>{1000});
  const auto seen = holdings(db, 1000);
  CHECK(seen.roots.snapshots == std::vector{digest_of(2)});
  CHECK(seen.counted == 2_MiB);
  remember(db, snapshot_of(1000, 3));  // which was not looked at
  recounted(db, 1000, seen, 7_MiB);
  CHECK(stored_by(db, 1000) == 9_MiB);
  CHECK(to_recount(db) == std::vector<uid_t>{1000});
  CHECK(stored_by(db, 1001) == ByteSize());

  forget_uploads(db, {delta, snapshot_of(1000, 3)});
  recounted(db, 1000, holdings(db, 1000), ByteSize());
  CHECK(stored_by(db, 1000) == ByteSize());
  CHECK(to_recount(db).empty());
}

TEST_CASE_FIXTURE(Fixture, "a user's holdings are what his uploads, his jobs and his outputs need") {
  remember(db, snapshot_of(1000, 1));
  remember(db, diff_of(1000, 2));
  remember(db, snapshot_of(1001, 9));
  auto wanted = new_job(1);
  wanted.request.snapshot = digest_of(1);
  wanted.request.diff = digest_of(2);
  wanted.state = model::State::queued;
  const auto sequence = add(wanted).sequence;
  start_intent(db, kAnn, {sequence, 1, 1, "b"});
  model::Attempt attempt;
  attempt.outputs = digest_of(8);
  attempt.outputs_size = 1_MiB;
  finalized(db, kAnn, {sequence, model::State::completed, model::Exited{0}, at(5), attempt});
  const auto held = holdings(db, 1000);
  CHECK(held.roots.snapshots == std::vector{digest_of(1)});
  CHECK(held.roots.diffs == std::vector{digest_of(2)});
  CHECK(held.roots.outputs == std::vector{digest_of(8)});
  CHECK(held.counted == ByteSize((3_MiB).bytes() + (5_KiB).bytes()));
  recounted(db, 1000, held, held.counted);
  remove_outputs(db, {sequence}, {at(9), "gone"});
  CHECK(to_recount(db) == std::vector<uid_t>{1000, 1001});
  forget(db, {sequence}, at(100), at(200));
  CHECK(holdings(db, 1000).roots.snapshots.empty());
}
