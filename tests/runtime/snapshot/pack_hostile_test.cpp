#include <doctest/doctest.h>

#include "runtime/objects/compression.hpp"
#include "runtime/objects/sha256.hpp"
#include "runtime/snapshot/closure.hpp"
#include "runtime/snapshot/pack.hpp"
#include "tests/runtime/snapshot/forger.hpp"
#include "tests/runtime/snapshot/trees.hpp"

using namespace berth;
using namespace berth::snapshot;

namespace {

struct Node {
  os::TempDir directory;
  objects::Store store{directory.path()};

  // Refused, for this reason, and nothing left behind.
  void refuses(const std::string& pack, Code code, const char* because) {
    const auto message = message_of([&] { receive(store, pack); });
    INFO(message);
    CHECK(code_of([&] { receive(store, pack); }) == code);
    CHECK(message.find(because) != std::string::npos);
    CHECK(store.usage().containers == 0);
    for (const auto& entry : std::filesystem::directory_iterator(directory.path()))
      CHECK(entry.path().filename() == "lock");
  }
};

}  // namespace

TEST_CASE("a forged pack that is sound is taken") {
  Node node;
  CHECK(receive(node.store, Forger().manifest(one_file("hello")).frame({5}, 0, "hello").end(1).pack).objects == 1);
}

TEST_CASE("packs that lie are refused and leave nothing") {
  Node node;
  const auto manifest = one_file("hello");
  const auto start = Forger().manifest(manifest);
  const auto with = [&](auto change) {
    auto forger = start;
    change(forger);
    return forger.pack;
  };
  node.refuses("", Code::corrupt, "ends early");
  node.refuses("BRTHPAK2" + std::string(100, 'x'), Code::corrupt, "no pack of a version");
  node.refuses(with([](auto& f) { f.end(0); }), Code::corrupt, "incomplete");
  node.refuses(with([](auto& f) { f.frame({5}, 0, "jello").end(1); }), Code::corrupt, "no part of the snapshot");
  node.refuses(with([](auto& f) { f.frame({5}, 0, "hello").frame({5}, 0, "hello").end(2); }), Code::corrupt, "twice");
  node.refuses(with([](auto& f) { f.frame({5, 5}, 0, "hellohello").end(2); }), Code::corrupt, "twice");
  node.refuses(with([](auto& f) { f.frame({5}, 0, "hello").end(2); }), Code::corrupt, "another number");
  node.refuses(with([](auto& f) { f.frame({5}, 0, "hello").end(1).pack += "x"; }), Code::corrupt, "bytes follow");
  node.refuses(with([](auto& f) { f.frame({5}, 0, "hello"); }), Code::corrupt, "ends early");
  node.refuses(with([](auto& f) { f.frame({5}, 0, "hell").end(1); }), Code::corrupt, "damaged");
  node.refuses(with([](auto& f) { f.frame({5}, 1, "hello").end(1); }), Code::corrupt, "damaged");
  node.refuses(with([](auto& f) { f.frame({5}, 7, "hello").end(1); }), Code::corrupt, "unknown encoding");
  node.refuses(with([](auto& f) { f.frame({}, 0, "").end(0); }), Code::corrupt, "frame is empty");
  node.refuses(with([](auto& f) { f.frame({1ULL << 40}, 0, "").end(1); }), Code::corrupt, "too large");
  node.refuses(with([](auto& f) { f.frame({8 << 20, 8 << 20}, 0, "").end(2); }), Code::corrupt, "too large");
  node.refuses(with([](auto& f) { f.pack += "X"; }), Code::corrupt, "no known kind");
  node.refuses(with([](auto& f) { f.pack += std::string("D\0\0\1\1x", 6); }), Code::corrupt, "base is out of range");

  auto lying = Forger().digest(objects::sha256("something else"));
  lying.pack += start.pack.substr(40);
  node.refuses(lying.frame({5}, 0, "hello").end(1).pack, Code::corrupt, "not the one announced");
}

TEST_CASE("a decompression bomb is stopped at the size it claims") {
  Node node;
  objects::Compressor compressor;
  objects::Buffer bomb;
  compressor.compress(std::string(64 << 20, '\0'), 3, bomb);
  node.refuses(Forger().manifest(one_file("hello")).frame({5}, 1, bomb.view().substr(0, 5)).end(1).pack, Code::corrupt,
               "damaged");
  node.refuses(Forger().manifest(one_file("hello")).frame({8 << 20}, 1, bomb.view()).end(1).pack, Code::corrupt,
               "damaged");
}

TEST_CASE("sizes in the manifest must be those of the contents") {
  Node node;
  ManifestBuilder builder;
  builder.file("f", false, 4, objects::sha256("hello"));
  const auto short_one = builder.finish();
  node.refuses(Forger().manifest(short_one).frame({5}, 0, "hello").end(1).pack, Code::corrupt, "size");

  ManifestBuilder two;
  two.file("f", false, 4, objects::sha256("hello"));
  two.file("g", false, 5, objects::sha256("hello"));
  node.refuses(Forger().manifest(two.finish()).frame({5}, 0, "hello").end(1).pack, Code::corrupt, "different sizes");
}

TEST_CASE("a large file without all of its chunks is refused") {
  Node node;
  Recipe recipe;
  const auto chunk = objects::random_bytes(600'000, 1);
  recipe.add(objects::sha256(chunk), 600'000);
  recipe.add(objects::sha256("missing"), 600'000);
  ManifestBuilder builder;
  builder.file("large", false, 1'200'000, objects::sha256(recipe.bytes()));
  const auto manifest = builder.finish();
  const auto bytes = recipe.bytes();
  node.refuses(Forger().manifest(manifest).frame({bytes.size()}, 0, bytes).frame({600'000}, 0, chunk).end(2).pack,
               Code::corrupt, "incomplete");
  node.refuses(Forger().manifest(manifest).frame({600'000}, 0, chunk).frame({bytes.size()}, 0, bytes).end(2).pack,
               Code::corrupt, "no part");
  ManifestBuilder wrong;
  wrong.file("large", false, 1'300'000, objects::sha256(bytes));
  node.refuses(Forger().manifest(wrong.finish()).frame({bytes.size()}, 0, bytes).end(1).pack, Code::corrupt, "add up");
}

TEST_CASE("a snapshot over the limits is refused before its contents are read") {
  Node node;
  const auto pack = Forger().manifest(one_file("hello")).pack;
  ReceiveLimits limits;
  limits.most_bytes = 4;
  CHECK(code_of([&] { receive(node.store, pack, limits); }) == Code::too_large);
  limits = {};
  limits.most_entries = 0;
  CHECK(code_of([&] { receive(node.store, pack, limits); }) == Code::too_large);
}

TEST_CASE("a pack cut short anywhere, or with any byte changed, yields the snapshot announced or nothing") {
  const os::TempDir root;
  for (unsigned i = 0; i < 5; ++i) put(root.path(), "d/f" + std::to_string(i), objects::random_text(400, i));
  const auto before = scan(root.path(), {});
  const auto first = pack_of(before, root.path());
  const os::TempDir sender_directory;
  objects::Store sender(sender_directory.path());
  receive(sender, first);
  put(root.path(), "d/f3", objects::random_text(400, 3) + "one more line\n");
  const auto after = scan(root.path(), {});
  const auto second = pack_of(after, root.path(), {&before.manifest, 1}, &sender);

  const os::TempDir directory;
  objects::Store store(directory.path());
  receive(store, first);
  const auto containers = store.usage().containers;
  const auto is_refused = [&](const std::string& pack) {
    try {
      receive(store, pack);
    } catch (const Error&) {
      CHECK(store.usage().containers == containers);
      return true;
    }
    return false;
  };
  for (std::size_t size = 0; size < second.size(); ++size) CHECK(is_refused(second.substr(0, size)));
  for (std::size_t at = 0; at < second.size(); ++at) {
    auto changed = second;
    changed[at] = static_cast<char>(changed[at] ^ (1 << at % 8));
    // A bit that zstd ignores may pass, but then every digest was right.
    if (!is_refused(changed)) {
      CHECK(is_complete(store, after.manifest.id()));
      return;
    }
  }
  receive(store, second);
  CHECK(is_complete(store, after.manifest.id()));
}
