#include "runtime/snapshot/pack.hpp"

#include <doctest/doctest.h>

#include "runtime/objects/sha256.hpp"
#include "runtime/snapshot/closure.hpp"
#include "runtime/snapshot/restore.hpp"
#include "tests/runtime/snapshot/trees.hpp"

using namespace berth;
using namespace berth::snapshot;

TEST_CASE("a whole snapshot travels and comes back byte by byte") {
  const os::TempDir root;
  const os::TempDir node;
  RandomTree tree(root.path(), 1);
  const auto scanned = scan(root.path(), {});
  objects::Store store(node / "store");
  const auto received = receive(store, pack_of(scanned, root.path()));
  CHECK(received.manifest == scanned.manifest);
  CHECK(is_complete(store, scanned.manifest.id()));
  restore(store, received.manifest, node / "copy");
  CHECK(contents_of(node / "copy") == contents_of(root.path()));
}

TEST_CASE("a snapshot comes out of a store as it went in") {
  const os::TempDir root;
  const os::TempDir node;
  RandomTree tree(root.path(), 2);
  const auto scanned = scan(root.path(), {});
  objects::Store first(node / "first");
  objects::Store second(node / "second");
  receive(first, pack_of(scanned, root.path()));
  StoreContent content(first);
  std::string pack;
  write_pack(scanned.manifest, {}, content, [&](std::string_view bytes) { pack += bytes; });
  receive(second, pack);
  CHECK(is_complete(second, scanned.manifest.id()));
}

TEST_CASE("a line changed among many files costs a few hundred bytes") {
  const os::TempDir root;
  const os::TempDir node;
  for (unsigned i = 0; i < 1000; ++i)
    put(root.path(), "d" + std::to_string(i / 100) + "/f" + std::to_string(i) + ".py", objects::random_text(3000, i));
  objects::Store store(node.path());
  const auto before = scan(root.path(), {});
  receive(store, pack_of(before, root.path()));

  auto text = os::read_file(root / "d5/f512.py");
  text.insert(text.find('\n', 1000) + 1, "changed = True\n");
  put(root.path(), "d5/f512.py", text);
  const auto after = scan(root.path(), {});
  const auto pack = pack_of(after, root.path(), {&before.manifest, 1}, &store);
  CHECK(pack.size() < 300);
  CHECK(receive(store, pack).objects == 1);
  CHECK(store.read(objects::sha256(text)) == text);

  std::filesystem::rename(root / "d3", root / "renamed");
  const auto renamed = scan(root.path(), {});
  const auto small = pack_of(renamed, root.path(), {&after.manifest, 1}, &store);
  CHECK(small.size() < 300);
  CHECK(receive(store, small).objects == 0);
  CHECK(is_complete(store, renamed.manifest.id()));
}

TEST_CASE("a byte inserted into a large file sends a few chunks and a small delta of its recipe") {
  const os::TempDir root;
  const os::TempDir node;
  auto bytes = objects::random_bytes(8 << 20, 1);
  put(root.path(), "weights", bytes);
  objects::Store store(node.path());
  const auto before = scan(root.path(), {});
  receive(store, pack_of(before, root.path()));
  bytes.insert(5 << 20, "!");
  put(root.path(), "weights", bytes);
  const auto after = scan(root.path(), {});
  const auto pack = pack_of(after, root.path(), {&before.manifest, 1}, &store);
  CHECK(pack.size() < 100'000);
  CHECK(receive(store, pack).objects <= 6);
  CHECK(is_complete(store, after.manifest.id()));
}

TEST_CASE("equal files travel once") {
  const os::TempDir root;
  const os::TempDir node;
  for (int i = 0; i < 50; ++i) put(root.path(), std::to_string(i), "the same");
  objects::Store store(node.path());
  CHECK(receive(store, pack_of(scan(root.path(), {}), root.path())).objects == 1);
}

TEST_CASE("the empty tree is a snapshot") {
  const os::TempDir root;
  const os::TempDir node;
  objects::Store store(node / "store");
  const auto received = receive(store, pack_of(scan(root.path(), {}), root.path()));
  restore(store, received.manifest, node / "copy");
  CHECK(contents_of(node / "copy").empty());
}

TEST_CASE("what the receiver has already may come again: the answer is the same") {
  const os::TempDir root;
  const os::TempDir node;
  RandomTree tree(root.path(), 4);
  objects::Store store(node.path());
  const auto pack = pack_of(scan(root.path(), {}), root.path());
  const auto first = receive(store, pack);
  const auto usage = store.usage();
  const auto second = receive(store, pack);
  CHECK(first.objects > 0);
  CHECK(second.objects == first.objects);
  CHECK(second.raw_bytes == first.raw_bytes);
  CHECK(store.usage().stored_bytes == usage.stored_bytes);
}

TEST_CASE("an unknown base is told apart, so that the sender can send everything") {
  const os::TempDir root;
  const os::TempDir node;
  put(root.path(), "a", "1");
  const auto before = scan(root.path(), {});
  put(root.path(), "a", "2");
  const auto after = scan(root.path(), {});
  objects::Store store(node.path());
  const auto pack = pack_of(after, root.path(), {&before.manifest, 1});
  CHECK(code_of([&] { receive(store, pack); }) == Code::not_found);
  CHECK(message_of([&] { receive(store, pack); }).find("is not here") != std::string::npos);
  CHECK(store.usage().containers == 0);
}

TEST_CASE("a file that changes between scan and sending is told") {
  const os::TempDir root;
  put(root.path(), "a", "1");
  const auto scanned = scan(root.path(), {});
  put(root.path(), "a", "22");
  CHECK(code_of([&] { pack_of(scanned, root.path()); }) == Code::conflict);
  std::filesystem::remove(root / "a");
  std::filesystem::create_symlink("/etc/passwd", root / "a");
  CHECK(code_of([&] { pack_of(scanned, root.path()); }) == Code::conflict);
}

TEST_CASE("progress ends at the total") {
  const os::TempDir root;
  RandomTree tree(root.path(), 6);
  const auto scanned = scan(root.path(), {});
  const auto fd = os::open(root.path(), O_RDONLY | O_DIRECTORY);
  TreeContent content(fd, scanned, nullptr);
  std::uint64_t last = 0;
  std::uint64_t all = 0;
  PackOptions options;
  options.progress = [&](std::uint64_t done, std::uint64_t total) {
    CHECK(done >= last);
    last = done;
    all = total;
  };
  const auto report = write_pack(
      scanned.manifest, {}, content, [](std::string_view) {}, options);
  CHECK(last == all);
  CHECK(report.raw_bytes == all);
}

TEST_CASE("the bytes of a pack are those of format version 1") {
  ManifestBuilder builder;
  builder.file("a", false, 2, objects::sha256("hi"));
  const auto manifest = builder.finish();
  const os::TempDir node;
  objects::Store store(node / "store");
  auto batch = store.begin();
  batch.add(objects::sha256("hi"), "hi");
  batch.commit(os::Durable::no);
  StoreContent content(store);
  std::string pack;
  write_pack(manifest, {}, content, [&](std::string_view bytes) { pack += bytes; });
  std::string expected = "BRTHPAK1";
  expected.append(reinterpret_cast<const char*>(manifest.id().bytes.data()), 32);
  expected += std::string("\0\0", 2);
  expected += static_cast<char>(manifest.bytes().size());
  expected += static_cast<char>(manifest.bytes().size());
  expected += manifest.bytes();
  expected += std::string("F\x01\x02\x00\x02hiE\x01", 9);
  CHECK(pack == expected);
  objects::Store other(node / "other");
  CHECK(receive(other, expected).objects == 1);
}

TEST_CASE("sweeping keeps what the roots need and nothing else") {
  const os::TempDir root;
  const os::TempDir node;
  RandomTree tree(root.path(), 8);
  objects::Store store(node.path());
  const auto first = scan(root.path(), {});
  receive(store, pack_of(first, root.path()));
  std::filesystem::remove_all(root.path());
  std::filesystem::create_directory(root.path());
  RandomTree other(root.path(), 9);
  const auto second = scan(root.path(), {});
  receive(store, pack_of(second, root.path()));

  sweep(
      store, [&] { return std::vector{second.manifest.id()}; }, objects::DryRun::no);
  CHECK_FALSE(is_complete(store, first.manifest.id()));
  CHECK(is_complete(store, second.manifest.id()));
  sweep(
      store, [] { return std::vector<Digest>(); }, objects::DryRun::no);
  CHECK(store.usage().objects == 0);
}
