#include "runtime/objects/store.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <thread>
#include <vector>

#include "runtime/base/error.hpp"
#include "runtime/objects/sha256.hpp"
#include "runtime/os/file.hpp"
#include "tests/runtime/objects/random_bytes.hpp"

using namespace berth;
using namespace berth::objects;
using os::Durable;

namespace {

Digest put(Store& store, std::string_view bytes) {
  auto batch = store.begin();
  batch.add(sha256(bytes), bytes);
  batch.commit(Durable::no);
  return sha256(bytes);
}

Code code_of(const auto& call) {
  try {
    call();
  } catch (const Error& error) {
    return error.code();
  }
  return Code::internal;
}

std::vector<std::string> files_in(const std::string& directory, std::string_view ending) {
  std::vector<std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator(directory))
    if (entry.path().string().ends_with(ending)) files.push_back(entry.path());
  return files;
}

}  // namespace

TEST_CASE("objects come back as they were put, also after the store was opened again") {
  const os::TempDir directory;
  std::vector<std::string> contents{"", "x", random_text(5000, 1), random_bytes(3 << 20, 2), random_text(5 << 20, 3)};
  for (unsigned i = 0; i < 300; ++i) contents.push_back(random_text(i * 37, i));
  {
    Store store(directory.path());
    auto batch = store.begin();
    for (const auto& content : contents) batch.add(sha256(content), content);
    CHECK_FALSE(store.has(sha256("x")));
    batch.commit(Durable::yes);
    CHECK(store.has(sha256("x")));
  }
  const Store store(directory.path());
  for (const auto& content : contents) {
    CHECK(store.read(sha256(content)) == content);
    CHECK(store.size_of(sha256(content)) == content.size());
  }
  CHECK(store.usage().containers == 1);
  CHECK_FALSE(store.has(sha256("absent")));
  CHECK(code_of([&] { store.read(sha256("absent")); }) == Code::not_found);
}

TEST_CASE("a batch that is not committed leaves nothing") {
  const os::TempDir directory;
  Store store(directory.path());
  {
    auto batch = store.begin();
    const auto content = random_bytes(5 << 20, 1);
    batch.add(sha256(content), content);
    const auto more = random_bytes(5 << 20, 2);
    batch.add(sha256(more), more);
    CHECK(files_in(directory.path(), ".tmp").size() == 1);
  }
  CHECK(files_in(directory.path(), ".tmp").empty());
  CHECK(files_in(directory.path(), ".objects").empty());
}

TEST_CASE("an empty batch makes no container") {
  const os::TempDir directory;
  Store store(directory.path());
  store.begin().commit(Durable::yes);
  CHECK(store.usage().containers == 0);
}

TEST_CASE("what is here already is not stored again") {
  const os::TempDir directory;
  Store store(directory.path());
  put(store, "content");
  put(store, "content");
  CHECK(store.usage().objects == 1);
}

TEST_CASE("several objects are read in one go, every one once") {
  const os::TempDir directory;
  Store store(directory.path());
  std::vector<Digest> digests;
  std::vector<std::string> contents;
  for (unsigned part = 0; part < 3; ++part) {
    auto batch = store.begin();
    for (unsigned i = 0; i < 400; ++i) {
      contents.push_back(random_text(20'000 + i, part * 1000 + i));
      digests.push_back(sha256(contents.back()));
      batch.add(digests.back(), contents.back());
    }
    batch.commit(Durable::no);
  }
  for (const unsigned workers : {1U, 2U}) {
    std::vector<int> seen(digests.size(), 0);
    std::mutex mutex;
    store.read_each(digests, workers, [&](std::span<const Store::Piece> pieces, unsigned) {
      const std::lock_guard lock(mutex);
      for (const auto& piece : pieces) {
        CHECK(piece.bytes == contents[piece.index]);
        ++seen[piece.index];
      }
    });
    CHECK(std::count(seen.begin(), seen.end(), 1) == static_cast<std::ptrdiff_t>(seen.size()));
  }
  digests.push_back(sha256("absent"));
  CHECK(code_of([&] { store.read_each(digests, 1, [](auto, unsigned) { FAIL("nothing may be visited"); }); }) ==
        Code::not_found);
}

TEST_CASE("a store belongs to one process at a time") {
  const os::TempDir directory;
  Store store(directory.path());
  CHECK(code_of([&] { Store second(directory.path()); }) == Code::conflict);
}

TEST_CASE("what a crash leaves behind is removed, and incomplete containers are set aside") {
  const os::TempDir directory;
  Digest kept;
  {
    Store store(directory.path());
    kept = put(store, "kept");
    put(store, random_bytes(100'000, 1));
  }
  std::ofstream(directory / "7.tmp") << "half a container";
  const auto torn = files_in(directory.path(), "2.objects").at(0);
  std::filesystem::resize_file(torn, std::filesystem::file_size(torn) - 10);

  const Store store(directory.path());
  CHECK(files_in(directory.path(), ".tmp").empty());
  CHECK(store.damaged().size() == 1);
  CHECK(store.usage().containers == 1);
  CHECK(store.read(kept) == "kept");
}

TEST_CASE("every damaged byte of a container is noticed") {
  const os::TempDir directory;
  const auto text = random_text(2000, 1);
  const auto bytes = random_bytes(2000, 1);
  {
    Store store(directory.path());
    put(store, text);
    put(store, bytes);
  }
  for (const auto& path : files_in(directory.path(), ".objects")) {
    const auto sound = os::read_file(path);
    for (std::size_t at = 8; at < sound.size(); at += 17) {
      auto damaged = sound;
      damaged[at] = static_cast<char>(damaged[at] ^ 0x40);
      std::ofstream(path) << damaged;
      {
        const Store store(directory.path());
        for (const auto& content : {text, bytes}) {
          if (!store.has(sha256(content))) continue;
          try {
            const auto read = store.read(sha256(content));
            CHECK(read == content);
          } catch (const Error& error) {
            CHECK(error.code() == Code::corrupt);
          }
        }
        for (const auto& aside : store.damaged()) os::remove_file(aside);
      }
      std::ofstream(path) << sound;
    }
  }
}

TEST_CASE("many small containers are merged, and their objects stay readable") {
  const os::TempDir directory;
  Store store(directory.path());
  for (unsigned i = 0; i < 200; ++i) {
    put(store, random_text(500, i));
    CHECK(store.usage().containers <= 64);
  }
  CHECK(store.usage().objects == 200);
  for (unsigned i = 0; i < 200; ++i) CHECK(store.has(sha256(random_text(500, i))));
}

TEST_CASE("readers go on while a writer adds, merges and sweeps") {
  const os::TempDir directory;
  Store store(directory.path());
  const auto steady = random_text(50'000, 12345);
  const auto digest = put(store, steady);
  std::atomic<bool> stop{false};
  std::vector<std::jthread> readers;
  std::atomic<int> wrong{0};
  for (int i = 0; i < 2; ++i)
    readers.emplace_back([&] {
      while (!stop)
        if (store.read(digest) != steady) ++wrong;
    });
  for (unsigned i = 0; i < 150; ++i) {
    put(store, random_text(1000, i));
    if (i % 20 == 0) store.sweep([&] { return DigestSet{digest}; }, DryRun::no);
  }
  stop = true;
  readers.clear();
  CHECK(wrong == 0);
}

TEST_CASE("two batches at once both arrive") {
  const os::TempDir directory;
  Store store(directory.path());
  auto first = store.begin();
  auto second = store.begin();
  first.add(sha256("a"), "a");
  second.add(sha256("b"), "b");
  second.commit(Durable::no);
  first.commit(Durable::no);
  CHECK(store.read(sha256("a")) == "a");
  CHECK(store.read(sha256("b")) == "b");
}

TEST_CASE("the bytes of a container are those of format version 1") {
  const os::TempDir directory;
  {
    Store store(directory.path());
    auto batch = store.begin();
    batch.add(sha256("hello"), "hello");
    batch.add(sha256(""), "");
    batch.commit(Durable::no);
  }
  const auto bytes = os::read_file(files_in(directory.path(), ".objects").at(0));
  CHECK(bytes.size() == 176);
  CHECK(sha256(bytes).brief() == "39d59e48a662");
}
