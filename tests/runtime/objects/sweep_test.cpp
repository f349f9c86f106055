#include <doctest/doctest.h>

#include <atomic>
#include <optional>
#include <stdexcept>
#include <thread>

#include "runtime/objects/sha256.hpp"
#include "runtime/objects/store.hpp"
#include "runtime/os/file.hpp"
#include "tests/runtime/objects/random_bytes.hpp"

using namespace berth;
using namespace berth::objects;
using os::Durable;

namespace {

// 80 objects of 100 KB in one container, several to a frame.
std::vector<Digest> fill(Store& store) {
  std::vector<Digest> digests;
  auto batch = store.begin();
  for (unsigned i = 0; i < 80; ++i) {
    const auto content = random_bytes(100'000, i);
    digests.push_back(sha256(content));
    batch.add(digests.back(), content);
  }
  batch.commit(Durable::no);
  return digests;
}

}  // namespace

TEST_CASE("a sweep removes what is not alive and keeps what is") {
  const os::TempDir directory;
  {
    Store store(directory.path());
    const auto digests = fill(store);
    const DigestSet live(digests.begin() + 10, digests.begin() + 30);
    const auto before = store.usage().stored_bytes;

    const auto planned = store.sweep([&] { return live; }, DryRun::yes);
    CHECK(planned.objects_removed == 60);
    CHECK(store.usage().stored_bytes == before);

    const auto report = store.sweep([&] { return live; }, DryRun::no);
    CHECK(report.objects_removed == planned.objects_removed);
    CHECK(report.containers_rewritten == 1);
    CHECK(store.usage().stored_bytes < before / 3);
    for (unsigned i = 0; i < 80; ++i) CHECK(store.has(digests[i]) == live.contains(digests[i]));
  }
  const Store again(directory.path());
  CHECK(again.read(sha256(random_bytes(100'000, 15))) == random_bytes(100'000, 15));
}

TEST_CASE("a sweep makes one of large objects that are stored twice, and leaves small ones where they are") {
  const os::TempDir directory;
  Store store(directory.path());
  const auto digests = fill(store);
  const auto once = store.usage().stored_bytes;
  const std::string small = "small";
  for (int i = 0; i < 2; ++i) {
    auto batch = store.begin();
    for (unsigned k = 0; k < 40; ++k) batch.append(digests[k], random_bytes(100'000, k));
    batch.append(sha256(small), small);
    batch.commit(Durable::no);
  }
  DigestSet live(digests.begin(), digests.end());
  live.insert(sha256(small));
  CHECK(store.usage().objects == 80 + 2 * 41);
  CHECK(store.sweep([&] { return live; }, DryRun::yes).objects_removed == 80);
  store.sweep([&] { return live; }, DryRun::no);
  CHECK(store.usage().objects == 82);
  CHECK(store.usage().stored_bytes < once + 50'000);
  for (unsigned i = 0; i < 80; ++i) CHECK(store.read(digests[i]) == random_bytes(100'000, i));
  CHECK(store.read(sha256(small)) == small);
}

TEST_CASE(
    "a sweep leaves a container alone for the sake of a few bytes, and empties the store when nothing "
    "lives") {
  const os::TempDir directory;
  Store store(directory.path());
  const auto digests = fill(store);
  CHECK(store.sweep([&] { return DigestSet(digests.begin() + 3, digests.end()); }, DryRun::no).objects_removed == 0);
  CHECK(store.sweep([] { return DigestSet(); }, DryRun::no).objects_removed == 80);
  CHECK(store.usage().containers == 0);
}

// As whoever tells what is alive must.
DigestSet with_pinned(const Store& store, DigestSet live) {
  for (const auto& root : store.pinned()) live.insert(root.digest);
  return live;
}

TEST_CASE("what is pinned stays, the rest is swept, and a pin goes with who holds it") {
  const os::TempDir directory;
  Store store(directory.path());
  const auto digests = fill(store);
  auto pin = store.pin({digests[0]});
  auto moved = std::move(pin);
  const auto sweep = [&] { return store.sweep([&] { return with_pinned(store, {}); }, DryRun::no); };
  CHECK(sweep().objects_removed == 79);
  CHECK(store.has(digests[0]));
  {
    const auto twice = store.pin({digests[0], true});
    CHECK(store.pinned().size() == 2);
  }
  CHECK(sweep().objects_removed == 0);
  moved = {};
  CHECK(store.pinned().empty());
  CHECK(sweep().objects_removed == 1);
}

TEST_CASE(
    "what comes onto the record while a sweep looks is alive, though its pin goes, and what was known complete is "
    "forgotten") {
  const os::TempDir directory;
  Store store(directory.path());
  const auto digests = fill(store);
  store.note_complete(digests[0]);
  CHECK(store.known_complete(digests[0]));
  std::optional<Store::Pin> pin(store.pin({digests[0]}));
  store.sweep(
      [&] {
        DigestSet on_record;
        pin.reset();  // it is on record only now, when that has been read
        CHECK(store.pinned().size() == 1);
        return with_pinned(store, on_record);
      },
      DryRun::no);
  CHECK(store.has(digests[0]));
  CHECK(store.pinned().empty());
  CHECK_FALSE(store.known_complete(digests[0]));
}

TEST_CASE("nothing is published while a sweep looks for what is alive") {
  const os::TempDir directory;
  Store store(directory.path());
  const auto digests = fill(store);
  const auto content = random_bytes(100'000, 200);
  std::atomic<bool> published{false};
  std::jthread transfer;
  store.sweep(
      [&] {
        transfer = std::jthread([&] {
          auto batch = store.begin();
          batch.append(sha256(content), content);
          batch.commit(Durable::no);
          published = true;
        });
        for (int i = 0; i < 100; ++i) std::this_thread::yield();
        CHECK_FALSE(published);
        return DigestSet();
      },
      DryRun::no);
  transfer.join();
  CHECK(store.read(sha256(content)) == content);
}

TEST_CASE("a sweep that fails to learn what is alive removes nothing") {
  const os::TempDir directory;
  Store store(directory.path());
  fill(store);
  CHECK_THROWS(store.sweep([]() -> DigestSet { throw std::runtime_error("no list"); }, DryRun::no));
  CHECK(store.usage().objects == 80);
  CHECK(store.sweep([] { return DigestSet(); }, DryRun::yes).objects_removed == 80);
}

TEST_CASE("a thorough sweep rewrites for fewer dead bytes, container by container") {
  const os::TempDir directory;
  Store store(directory.path());
  const auto digests = fill(store);
  std::vector<Digest> others;
  {
    auto batch = store.begin();
    for (unsigned i = 100; i < 110; ++i) {
      const auto content = random_bytes(100'000, i);
      others.push_back(sha256(content));
      batch.add(others.back(), content);
    }
    batch.commit(Durable::no);
  }
  const auto live = [&] { return DigestSet(digests.begin() + 8, digests.end()); };  // a tenth of one, all of the other
  const auto before = store.usage().stored_bytes;
  const auto plain = store.sweep(live, DryRun::yes);
  CHECK(plain.containers_rewritten == 0);
  CHECK(plain.objects_removed == 10);
  const auto planned = store.sweep(live, DryRun::yes, Thorough::yes);
  const auto done = store.sweep(live, DryRun::no, Thorough::yes);
  CHECK(done.objects_removed == 18);
  CHECK(done.containers_rewritten == 1);
  CHECK(done.bytes_freed == planned.bytes_freed);
  CHECK(before - store.usage().stored_bytes == doctest::Approx(static_cast<double>(done.bytes_freed)).epsilon(0.02));
  CHECK(store.read(digests[8]) == random_bytes(100'000, 8));
}

TEST_CASE("every object's share of the disk adds up to what is stored") {
  const os::TempDir directory;
  Store store(directory.path());
  fill(store);
  std::uint64_t objects = 0;
  std::uint64_t bytes = 0;
  store.visit([&](const Digest&, std::uint64_t share) {
    ++objects;
    bytes += share;
  });
  CHECK(objects == 80);
  CHECK(bytes <= store.usage().stored_bytes);
  CHECK(bytes > store.usage().stored_bytes * 95 / 100);
}
