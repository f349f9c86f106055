#include "runtime/snapshot/collection.hpp"

#include <doctest/doctest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>

#include "runtime/snapshot/closure.hpp"
#include "runtime/snapshot/restore.hpp"
#include "runtime/snapshot/scan.hpp"
#include "tests/runtime/snapshot/files_under.hpp"
#include "tests/runtime/snapshot/trees.hpp"
#include "tests/support/skip.hpp"

namespace berth::snapshot {
namespace {

using Paths = std::vector<std::string>;

struct Site {
  os::TempDir directory;
  objects::Store store{directory / "objects"};
  std::string tree = directory / "tree";
  CollectionRequest request{{"outputs"}, "", directory / "tree", 1ULL << 40, 1'000'000, std::nullopt};

  Site() { os::make_directories(tree); }

  std::string answer() {
    std::string bytes;
    const auto passed = CollectionRequest::from_bytes(request.to_bytes());
    collect(os::open(tree, O_RDONLY | O_DIRECTORY), passed, [&](std::string_view piece) { bytes += piece; });
    return bytes;
  }
  Collection receive(const std::string& bytes) {
    MemorySource source(bytes);
    return receive_collection(store, source, {});
  }
  Collection collected() { return receive(answer()); }
  bool anything() { return anything_to_collect(os::open(tree, O_RDONLY | O_DIRECTORY), request); }
  Paths files(const Collection& collection) {
    if (!collection.snapshot) return {};
    return files_under(load_manifest(store, *collection.snapshot));
  }
  void link(const std::string& target, const std::string& path) {
    REQUIRE(::symlink(target.c_str(), (tree + "/" + path).c_str()) == 0);
  }
};

bool tells(const Collection& collection, const std::string& path, const std::string& why) {
  for (const auto& each : collection.left_out.named())
    if (each.path == path && each.why.find(why) != std::string::npos) return true;
  return false;
}

}  // namespace

TEST_CASE("what is in the directories asked for comes over as it is, the rest does not") {
  Site site;
  put(site.tree, "outputs/model", "m");
  put(site.tree, "outputs/large", objects::random_bytes(3 << 20, 1));
  put(site.tree, "outputs/run", "#!", true);
  put(site.tree, "results/deep/1", "1");
  put(site.tree, "other", "o");
  site.request.directories = {"results/deep", "outputs", "outputs/large", "absent"};
  const auto collection = site.collected();
  CHECK(site.files(collection) == Paths{"outputs/large", "outputs/model", "outputs/run", "results/deep/1"});
  CHECK(collection.left_out.empty());
  restore(site.store, load_manifest(site.store, *collection.snapshot), site.directory / "back");
  CHECK(os::read_file(site.directory / "back/outputs/large") == objects::random_bytes(3 << 20, 1));
}

TEST_CASE("nothing left is nothing, and costs no look") {
  Site site;
  put(site.tree, "other", "o");
  CHECK_FALSE(site.anything());
  CHECK_FALSE(site.collected().snapshot);
  os::make_directories(site.tree + "/outputs");
  CHECK(site.anything());
  site.request.base = "sub";
  CHECK_FALSE(site.anything());
}

TEST_CASE("files that are as the code brought them are left out") {
  Site site;
  put(site.tree, "sub/outputs/old", "old");
  put(site.tree, "sub/outputs/changed", "before");
  site.request.base = "sub";
  site.request.code = scan(site.tree, {}).manifest;
  CHECK_FALSE(site.collected().snapshot);
  put(site.tree, "sub/outputs/changed", "after");
  put(site.tree, "sub/outputs/new/file", "new");
  CHECK(site.files(site.collected()) == Paths{"outputs/changed", "outputs/new/file"});
}

TEST_CASE("outputs that are a link are followed within the tree, and told otherwise") {
  Site site;
  put(site.tree, "big/model.pt", "w");
  SUBCASE("relative") { site.link("big", "outputs"); }
  SUBCASE("by detours") {
    os::make_directories(site.tree + "/a");
    site.link("a/../second", "outputs");
    site.link("./big/", "second");
  }
  SUBCASE("absolute, as the job knew its tree") { site.link(site.tree + "/big", "outputs"); }
  CHECK(site.anything());
  const auto collection = site.collected();
  CHECK(site.files(collection) == Paths{"outputs/model.pt"});
  CHECK(collection.left_out.empty());
}

TEST_CASE("links out of the tree, in circles and to nothing are told") {
  Site site;
  std::string why = "out of the job's tree";
  SUBCASE("absolute") { site.link("/etc", "outputs"); }
  SUBCASE("upwards") { site.link("../objects", "outputs"); }
  SUBCASE("upwards by a detour") {
    os::make_directories(site.tree + "/a");
    site.link("a/../../objects", "outputs");
  }
  SUBCASE("in a circle") {
    site.link("outputs", "outputs");
    why = "in a circle";
  }
  SUBCASE("to nothing") {
    site.link("nowhere", "outputs");
    why = "where the job left nothing";
  }
  SUBCASE("a file in its place") {
    put(site.tree, "outputs", "x");
    why = "is no directory";
  }
  CHECK(site.anything());
  const auto collection = site.collected();
  CHECK_FALSE(collection.snapshot);
  CHECK(tells(collection, "outputs", why));
}

TEST_CASE("names that are not UTF-8 are written otherwise, their content is kept") {
  Site site;
  put(site.tree, "outputs/mod\xe8le.pt", "w");
  put(site.tree, "outputs/mod\\xe8le.pt", "taken");
  put(site.tree, "outputs/two\nlines/in\xff", "deep");
  put(site.tree, "outputs/plain", "p");
  const auto collection = site.collected();
  CHECK(site.files(collection).size() == 4);
  CHECK(collection.left_out.count() == 3);
  restore(site.store, load_manifest(site.store, *collection.snapshot), site.directory / "back");
  CHECK(os::read_file(site.directory / "back/outputs/mod\\xe8le.pt") == "taken");
  CHECK(os::read_file(site.directory / "back/outputs/mod\\xe8le.pt~") == "w");
  CHECK(tells(collection, "outputs/mod\\xe8le.pt~", "its own is not UTF-8"));
}

TEST_CASE("what has no place in a snapshot is told, and costs nothing else") {
  Site site;
  put(site.tree, "outputs/kept", "k");
  REQUIRE(::mkfifo((site.tree + "/outputs/pipe").c_str(), 0644) == 0);
  put(site.tree, "outputs/.git/config", "[core]");
  std::string deep = "outputs";
  for (int i = 0; i < 300; ++i) deep += "/d";
  std::filesystem::create_directories(site.tree + "/" + deep);
  site.link("/etc/passwd", "outputs/away");
  const auto collection = site.collected();
  CHECK(site.files(collection) == Paths{"outputs/kept"});
  CHECK(tells(collection, "outputs/pipe", "a pipe"));
  CHECK(tells(collection, "outputs/.git", "git"));
  CHECK(tells(collection, "outputs/away", "the link is kept"));
  CHECK(collection.left_out.count() == 4);
  CHECK(load_manifest(site.store, *collection.snapshot).totals().directories == 255);
}

TEST_CASE("over a limit the rest is told, and what fits is kept") {
  Site site;
  for (int i = 0; i < 30; ++i) put(site.tree, "outputs/" + std::to_string(100 + i), std::string(1000, 'x'));
  SUBCASE("bytes") { site.request.most_bytes = 10'500; }
  SUBCASE("entries") { site.request.most_entries = 10; }
  const auto collection = site.collected();
  CHECK(site.files(collection).size() == 10);
  CHECK(collection.left_out.count() >= 1);
  CHECK(collection.left_out.count() <= 21);
}

TEST_CASE("holes are not read: a sparse file of 900 GiB takes moments, and has the digest of its zeros") {
  Site site;
  put(site.tree, "outputs/sparse", "");
  const bool made = ::truncate((site.tree + "/outputs/sparse").c_str(), 900LL << 30) == 0;
  SKIP_UNLESS(made, "a file system that takes files of 900 GiB");
  const auto begin = std::chrono::steady_clock::now();
  const auto collection = site.collected();
  CHECK(std::chrono::steady_clock::now() - begin < std::chrono::seconds(60));
  CHECK(site.files(collection) == Paths{"outputs/sparse"});
}

TEST_CASE("a file with holes has the digest that it has without them") {
  Site site;
  constexpr off_t kHole = 5 << 20;
  const auto head = objects::random_bytes(70'000, 1);
  const auto tail = objects::random_bytes(90'001, 2);
  put(site.tree, "full", head + std::string(kHole, '\0') + tail + std::string(kHole, '\0'));
  put(site.tree, "holes", head);
  const auto holes = os::open(site.tree + "/holes", O_WRONLY);
  os::write_all_at(holes, tail, head.size() + kHole);
  REQUIRE(::ftruncate(holes.get(), static_cast<off_t>(head.size() + tail.size()) + 2 * kHole) == 0);
  const auto manifest = scan(site.tree, {}).manifest;
  CHECK(manifest[*manifest.find("full")].digest == manifest[*manifest.find("holes")].digest);
}

TEST_CASE("the kernel's own files are not collected") {
  CollectionRequest request{{"self", "sys/kernel"}, "", "", 1ULL << 40, 1'000, std::nullopt};
  std::string bytes;
  collect(os::open("/proc", O_RDONLY | O_DIRECTORY), request, [&](std::string_view piece) { bytes += piece; });
  Site site;
  const auto collection = site.receive(bytes);
  CHECK_FALSE(collection.snapshot);
  CHECK(collection.left_out.count() == 2);
  CHECK(tells(collection, "self", "kernel"));
}

TEST_CASE("an answer that is cut, or none at all, is refused wherever it is cut") {
  Site site;
  put(site.tree, "outputs/a", "some content");
  REQUIRE(::mkfifo((site.tree + "/outputs/pipe").c_str(), 0644) == 0);
  const auto bytes = site.answer();
  const auto report_end = 12 + static_cast<std::size_t>(static_cast<unsigned char>(bytes[8]));
  for (std::size_t length = 0; length < bytes.size(); ++length) {
    if (length == report_end) continue;  // then there is no pack
    CAPTURE(length);
    CHECK_THROWS_AS(site.receive(bytes.substr(0, length)), Error);
  }
  auto huge = bytes;
  huge[11] = '\x7f';
  CHECK(code_of([&] { site.receive(huge); }) == Code::too_large);
}

}  // namespace berth::snapshot
