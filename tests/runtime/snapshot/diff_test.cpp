#include "runtime/snapshot/diff.hpp"

#include <doctest/doctest.h>

#include "runtime/objects/sha256.hpp"

using namespace berth;
using namespace berth::snapshot;

namespace {

Digest d(std::string_view content) { return objects::sha256(content); }

}  // namespace

TEST_CASE("a snapshot does not differ from itself") { CHECK(diff(Manifest(), Manifest()).empty()); }

TEST_CASE("a diff names what was added, removed and changed, with all below") {
  ManifestBuilder old;
  old.begin_directory("gone");
  old.file("x", false, 1, d("x"));
  old.end_directory();
  old.file("kind", false, 1, d("k"));
  old.begin_directory("same");
  old.file("y", false, 1, d("y"));
  old.end_directory();
  old.file("script", false, 1, d("s"));
  const auto from = old.finish();

  ManifestBuilder fresh;
  fresh.begin_directory("kind");
  fresh.file("z", false, 1, d("z"));
  fresh.end_directory();
  fresh.symlink("new", "kind");
  fresh.begin_directory("same");
  fresh.file("y", false, 1, d("y"));
  fresh.end_directory();
  fresh.file("script", true, 1, d("s"));
  const auto to = fresh.finish();

  using enum ChangeKind;
  const std::vector<Change> expected{{removed, "gone"}, {removed, "gone/x"}, {removed, "kind"},  {added, "kind"},
                                     {added, "kind/z"}, {added, "new"},      {changed, "script"}};
  CHECK(diff(from, to) == expected);
  CHECK(diff(Manifest(), to).size() == to.entries().size());
  CHECK(diff(from, Manifest()).size() == from.entries().size());
}
