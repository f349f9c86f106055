// Random trees, edited at random, sent from step to step as deltas, restored, checked out and compared.

#include <doctest/doctest.h>

#include "runtime/snapshot/closure.hpp"
#include "runtime/snapshot/diff.hpp"
#include "runtime/snapshot/restore.hpp"
#include "runtime/snapshot/sender.hpp"
#include "tests/runtime/snapshot/trees.hpp"

using namespace berth;
using namespace berth::snapshot;

TEST_CASE("whatever happens to a tree, the receiver gets exactly it") {
  for (unsigned seed = 1; seed <= 6; ++seed) {
    const os::TempDir root;
    const os::TempDir node;
    RandomTree tree(root.path(), seed);
    objects::Store store(node / "store");
    Manifest last;
    for (int step = 0; step < 12; ++step) {
      Sender sender(node / "cache", root.path());
      const auto scanned = sender.scan();
      std::string pack;
      const auto bases = sender.bases();
      sender.write_pack(scanned, bases, [&](std::string_view bytes) { pack += bytes; });
      const auto received = receive(store, pack);
      sender.sent(scanned);
      CHECK(received.manifest == scanned.manifest);

      const auto copy = node / ("copy" + std::to_string(step));
      restore(store, received.manifest, copy);
      CHECK(contents_of(copy) == contents_of(root.path()));
      CHECK(diff(last, received.manifest).empty() == (last == received.manifest));
      last = received.manifest;
      tree.change();
    }
    CHECK(store.damaged().empty());
  }
}
