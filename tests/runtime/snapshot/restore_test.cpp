#include "runtime/snapshot/restore.hpp"

#include <doctest/doctest.h>

#include "runtime/objects/sha256.hpp"
#include "tests/runtime/snapshot/trees.hpp"
#include "tests/support/skip.hpp"

using namespace berth;
using namespace berth::snapshot;

namespace {

struct Example {
  os::TempDir root;
  os::TempDir node;
  objects::Store store{node / "store"};
  Manifest manifest;

  Example() {
    put(root.path(), "d/file", "content");
    put(root.path(), "d/run", "#!/bin/sh\n", true);
    put(root.path(), "large", objects::random_bytes(2 << 20, 1) + std::string(1 << 20, '\0'));
    put(root.path(), "same", "content");
    std::filesystem::create_symlink("d/file", root / "link");
    std::filesystem::create_directories(root / "empty");
    const auto scanned = scan(root.path(), {});
    manifest = receive(store, pack_of(scanned, root.path())).manifest;
  }
};

mode_t mode_of(const std::string& path) {
  struct stat info {};
  REQUIRE(::lstat(path.c_str(), &info) == 0);
  return info.st_mode & 07777;
}

}  // namespace

TEST_CASE("a restored tree is the tree, whatever the process's mask") {
  Example example;
  const auto mask = ::umask(0077);
  restore(example.store, example.manifest, example.node / "copy");
  ::umask(mask);
  CHECK(contents_of(example.node / "copy") == contents_of(example.root.path()));
  CHECK(mode_of(example.node / "copy") == 0755);
  CHECK(mode_of(example.node / "copy/d") == 0755);
  CHECK(mode_of(example.node / "copy/d/file") == 0644);
  CHECK(mode_of(example.node / "copy/d/run") == 0755);
  CHECK(mode_of(example.node / "copy/large") == 0644);
}

TEST_CASE("a restored tree belongs to whom it is given") {
  SKIP_UNLESS(::geteuid() == 0, "root, who gives files away");
  Example example;
  restore(example.store, example.manifest, example.node / "copy", {.owner = Owner{4321, 1234}});
  for (const auto* name : {"copy", "copy/d", "copy/d/file", "copy/link", "copy/large", "copy/empty"}) {
    struct stat info {};
    REQUIRE(::lstat((example.node / name).c_str(), &info) == 0);
    CHECK(info.st_uid == 4321);
    CHECK(info.st_gid == 1234);
  }
}

TEST_CASE("nothing is written over what exists, or through a symbolic link") {
  Example example;
  const os::TempDir elsewhere;
  SUBCASE("a link in place of a directory") {
    std::filesystem::create_directories(example.node / "copy");
    std::filesystem::create_directory_symlink(elsewhere.path(), example.node / "copy/d");
  }
  SUBCASE("a link in place of a file") {
    std::filesystem::create_directories(example.node / "copy");
    std::filesystem::create_symlink(elsewhere / "written", example.node / "copy/same");
  }
  const auto target = os::open(example.node / "copy", O_RDONLY | O_DIRECTORY);
  CHECK(code_of([&] { restore(example.store, example.manifest, target); }) == Code::conflict);
  CHECK(contents_of(elsewhere.path()).empty());
  CHECK(code_of([&] { restore(example.store, example.manifest, example.node / "copy"); }) == Code::conflict);
}

TEST_CASE("what does not fit is refused before anything is written") {
  const os::TempDir node;
  const objects::Store store(node / "store");
  ManifestBuilder builder;
  builder.begin_directory("d");
  for (const auto* name : {"a", "b", "c", "d"}) builder.file(name, false, kLargestFile, Digest{});
  builder.end_directory();
  SKIP_UNLESS(os::space_of(node.path()).free <= 4 * kLargestFile, "a smaller disk");
  CHECK(code_of([&] { restore(store, builder.finish(), node / "copy"); }) == Code::no_space);
  CHECK(contents_of(node / "copy").empty());
}

TEST_CASE("a missing object is told before anything is written of the files") {
  Example example;
  const os::TempDir other;
  objects::Store empty(other / "store");
  CHECK(code_of([&] { restore(empty, example.manifest, other / "copy"); }) == Code::not_found);
  CHECK(message_of([&] { restore(empty, example.manifest, other / "again"); }).find("while restoring snapshot") !=
        std::string::npos);
}

TEST_CASE("a stop ends it before the next file") {
  Example example;
  std::stop_source stop;
  RestoreOptions options;
  options.stop = stop.get_token();
  const auto copy = example.node / "copy";
  os::make_directories(copy);
  const auto target = os::open(copy, O_RDONLY | O_DIRECTORY);
  const auto until_one = [&](std::uint32_t entry) {
    if (entry > 0) stop.request_stop();
    return true;
  };
  CHECK_THROWS_AS(restore_some(example.store, example.manifest, target, options, until_one), Cancelled);
  CHECK(std::filesystem::is_empty(copy));
}
