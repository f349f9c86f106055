#include "runtime/snapshot/sender.hpp"

#include <doctest/doctest.h>

#include "runtime/snapshot/closure.hpp"
#include "tests/runtime/snapshot/trees.hpp"

using namespace berth;
using namespace berth::snapshot;

namespace {

struct Route {
  os::TempDir root;
  os::TempDir node;
  objects::Store store{node / "store"};
  std::string cache = node / "cache";

  std::string pack(Sender& sender, const Scan& scanned) {
    std::string bytes;
    const auto bases = sender.bases();
    sender.write_pack(scanned, bases, [&](std::string_view more) { bytes += more; });
    return bytes;
  }
  // The size of the pack.
  std::size_t send() {
    Sender sender(cache, root.path());
    const auto scanned = sender.scan();
    const auto bytes = pack(sender, scanned);
    receive(store, bytes);
    sender.sent(scanned);
    CHECK(is_complete(store, scanned.manifest.id()));
    return bytes.size();
  }
};

}  // namespace

TEST_CASE("a sender remembers what the receiver has") {
  Route route;
  RandomTree tree(route.root.path(), 1);
  CHECK(route.send() > 1'000'000);
  CHECK(route.send() < 150);
  put(route.root.path(), "x.py", objects::random_text(9000, 1));
  CHECK(route.send() > 1000);
  put(route.root.path(), "x.py", objects::random_text(9000, 1) + "one more line\n");
  CHECK(route.send() < 500);
  put(route.root.path(), "x.py", objects::random_text(9000, 1) + "one more line\nand another\n");
  CHECK(route.send() < 500);
}

TEST_CASE("a pack that was never acknowledged is no base") {
  Route route;
  put(route.root.path(), "a", "1");
  {
    Sender sender(route.cache, route.root.path());
    const auto scanned = sender.scan();
    route.pack(sender, scanned);
  }
  CHECK(Sender(route.cache, route.root.path()).bases().empty());
}

TEST_CASE("when the receiver lost the base, everything is sent") {
  Route route;
  RandomTree tree(route.root.path(), 2);
  route.send();
  sweep(
      route.store, [] { return std::vector<Digest>(); }, objects::DryRun::no);
  Sender sender(route.cache, route.root.path());
  const auto scanned = sender.scan();
  CHECK(code_of([&] { receive(route.store, route.pack(sender, scanned)); }) == Code::not_found);
  std::string whole;
  sender.write_pack(scanned, {}, [&](std::string_view bytes) { whole += bytes; });
  receive(route.store, whole);
  sender.sent(scanned);
  CHECK(is_complete(route.store, scanned.manifest.id()));
}

TEST_CASE("two senders with one cache both work") {
  Route route;
  RandomTree tree(route.root.path(), 3);
  route.send();
  put(route.root.path(), "new.py", objects::random_text(5000, 1));
  Sender first(route.cache, route.root.path());
  Sender second(route.cache, route.root.path());
  const auto one = first.scan();
  const auto two = second.scan();
  CHECK(one.manifest == two.manifest);
  const auto pack_one = route.pack(first, one);
  const auto pack_two = route.pack(second, two);
  receive(route.store, pack_two);
  second.sent(two);
  receive(route.store, pack_one);
  first.sent(one);
  CHECK(is_complete(route.store, one.manifest.id()));
}

TEST_CASE("a cache over its budget, damaged or deleted costs bytes and nothing else") {
  Route route;
  RandomTree tree(route.root.path(), 4);
  put(route.root.path(), "x.py", objects::random_text(9000, 1));
  route.send();
  SUBCASE("over its budget") { Sender(route.cache, route.root.path(), {.budget = ByteSize(1)}); }
  SUBCASE("deleted") { os::remove_tree(route.cache); }
  SUBCASE("garbage") {
    for (const auto& entry : std::filesystem::recursive_directory_iterator(route.cache))
      if (entry.is_regular_file()) std::ofstream(entry.path()) << "garbage";
  }
  SUBCASE("truncated") {
    for (const auto& entry : std::filesystem::recursive_directory_iterator(route.cache))
      if (entry.is_regular_file()) std::filesystem::resize_file(entry.path(), entry.file_size() / 2);
  }
  put(route.root.path(), "x.py", objects::random_text(9000, 1) + "one more line\n");
  route.send();
  CHECK(route.send() < 150);
}

TEST_CASE("a large file is not read again though its pack was never sent") {
  Route route;
  put(route.root.path(), "large", objects::random_bytes(2 << 20, 1));
  // A file that was written a moment ago may change unseen, and is read once more.
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  std::size_t read = 1;
  while (read > 0 && std::chrono::steady_clock::now() < end)
    read = Sender(route.cache, route.root.path()).scan().files_read;
  CHECK(read == 0);
  route.send();
}
