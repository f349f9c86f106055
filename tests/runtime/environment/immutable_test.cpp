#include "runtime/environment/immutable.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <string>
#include <vector>

#include "runtime/base/error.hpp"
#include "runtime/os/file.hpp"
#include "tests/support/skip.hpp"

namespace berth::environment {
namespace {

struct stat look(const std::string& path) {
  struct stat info {};
  REQUIRE(::lstat(path.c_str(), &info) == 0);
  return info;
}

void write(const std::string& path, const std::string& content, mode_t mode = 0644) {
  os::make_directories(os::parent_of(path), 0755);
  os::write_file(path, content, mode, os::Durable::no);
  REQUIRE(::chmod(path.c_str(), mode) == 0);
}

void link(const std::string& from, const std::string& to) {
  os::make_directories(os::parent_of(to), 0755);
  REQUIRE(::link(from.c_str(), to.c_str()) == 0);
}

// A tree, and a file elsewhere that is linked into it at these names.
struct Linked {
  os::TempDir place;
  std::string tree = place / "tree";
  std::string cached = place / "cache/file";

  explicit Linked(const std::vector<std::string>& names) {
    write(cached, "of the cache", 0755);
    for (const auto& name : names) link(cached, os::join(tree, name));
  }
  std::string at(const std::string& name) const { return os::join(tree, name); }
};

}  // namespace

TEST_CASE("what is linked from elsewhere is replaced by a copy of it") {
  const Linked linked({"lib/a"});
  const timespec past{1'000'000'000, 0};
  const std::array<timespec, 2> times{past, past};
  REQUIRE(::utimensat(AT_FDCWD, linked.cached.c_str(), times.data(), 0) == 0);
  make_immutable(linked.tree, std::nullopt);
  const auto sealed = look(linked.at("lib/a"));
  CHECK(os::read_file(linked.at("lib/a")) == "of the cache");
  CHECK(sealed.st_ino != look(linked.cached).st_ino);
  CHECK(sealed.st_nlink == 1);
  CHECK((sealed.st_mode & 07777) == 0755);
  CHECK(sealed.st_mtim.tv_sec == past.tv_sec);
  os::write_file(linked.cached, "changed later", 0755, os::Durable::no);
  CHECK(os::read_file(linked.at("lib/a")) == "of the cache");
}

TEST_CASE("all names that a file from elsewhere has in the tree get the same copy") {
  const Linked linked({"bin/git", "bin/git-add", "libexec/git"});
  make_immutable(linked.tree, std::nullopt);
  const auto first = look(linked.at("bin/git"));
  CHECK(first.st_nlink == 3);
  CHECK(first.st_ino != look(linked.cached).st_ino);
  CHECK(look(linked.at("bin/git-add")).st_ino == first.st_ino);
  CHECK(look(linked.at("libexec/git")).st_ino == first.st_ino);
  CHECK(look(linked.cached).st_nlink == 1);
}

TEST_CASE("of thousands of files that are linked from elsewhere each is a copy, with all its names") {
  constexpr int kFolders = 20;
  constexpr int kFiles = 100;
  const os::TempDir place;
  const auto tree = place / "tree";
  const auto name = [](int folder, int file) {
    return "package-" + std::to_string(folder) + "/module-" + std::to_string(file) + ".py";
  };
  for (int folder = 0; folder < kFolders; ++folder)
    for (int file = 0; file < kFiles; ++file) {
      const auto cached = place / ("cache/" + name(folder, file));
      write(cached, name(folder, file));
      link(cached, os::join(tree, name(folder, file)));
      if (file == 0) link(cached, os::join(tree, "first-of-" + std::to_string(folder)));
    }
  make_immutable(tree, std::nullopt);
  for (int folder = 0; folder < kFolders; ++folder)
    for (int file = 0; file < kFiles; ++file) {
      const auto path = os::join(tree, name(folder, file));
      REQUIRE(os::read_file(path) == name(folder, file));
      REQUIRE(look(path).st_nlink == (file == 0 ? 2 : 1));
      REQUIRE(look(place / ("cache/" + name(folder, file))).st_nlink == 1);
    }
}

TEST_CASE("what is linked within the tree alone stays so, and is counted once") {
  const os::TempDir place;
  const auto tree = place / "tree";
  write(os::join(tree, "a"), std::string(1 << 20, 'x'));
  link(os::join(tree, "a"), os::join(tree, "deep/er/b"));
  const auto before = look(os::join(tree, "a"));
  CHECK(make_immutable(tree, std::nullopt) < (2U << 20));
  CHECK(look(os::join(tree, "a")).st_ino == before.st_ino);
  CHECK(look(os::join(tree, "deep/er/b")).st_ino == before.st_ino);
}

TEST_CASE("nobody else can write, nothing is set-user-id, and only files, directories and symlinks stay") {
  const os::TempDir place;
  const auto tree = place / "tree";
  write(os::join(tree, "program"), "x", 06777);
  write(os::join(tree, "open/file"), "x", 0666);
  REQUIRE(::chmod(os::join(tree, "open").c_str(), 01777) == 0);
  REQUIRE(::symlink("/etc/passwd", os::join(tree, "link").c_str()) == 0);
  REQUIRE(::mkfifo(os::join(tree, "fifo").c_str(), 0600) == 0);
  const auto passwd = look("/etc/passwd");
  make_immutable(tree, std::nullopt);
  CHECK((look(os::join(tree, "program")).st_mode & 07777) == 0755);
  CHECK((look(os::join(tree, "open/file")).st_mode & 07777) == 0644);
  CHECK((look(os::join(tree, "open")).st_mode & 07777) == 0755);
  CHECK(S_ISLNK(look(os::join(tree, "link")).st_mode));
  CHECK(look("/etc/passwd").st_mode == passwd.st_mode);
  CHECK(!os::exists(os::join(tree, "fifo")));
}

TEST_CASE("a tree too deep is refused") {
  const os::TempDir place;
  const auto tree = place / "tree";
  auto path = tree;
  for (int i = 0; i < 130; ++i) path += "/d";
  os::make_directories(path, 0755);
  CHECK_THROWS_WITH_AS(make_immutable(tree, std::nullopt), doctest::Contains("nested more than 128 deep"), Error);
}

TEST_CASE("what the builder owns is taken over, links too, and what others own is refused") {
  SKIP_UNLESS(::geteuid() == 0, "root");
  constexpr uid_t kBuilder = 64'000;
  const Linked linked({"a"});
  write(linked.at("b"), "own");
  const auto give = [](const std::string& path, uid_t user) { REQUIRE(::lchown(path.c_str(), user, user) == 0); };
  for (const auto& path : {linked.tree, linked.cached, linked.at("b")}) give(path, kBuilder);
  make_immutable(linked.tree, kBuilder);
  for (const auto& path : {linked.tree, linked.at("a"), linked.at("b")}) {
    CHECK(look(path).st_uid == 0);
    CHECK(look(path).st_gid == 0);
  }
  CHECK(look(linked.cached).st_uid == kBuilder);
  for (const auto& foreign : {linked.at("b"), linked.tree}) {
    give(foreign, kBuilder + 1);
    CHECK_THROWS_WITH_AS(make_immutable(linked.tree, kBuilder), doctest::Contains("something of the user 64001"),
                         Error);
    give(foreign, 0);
  }
}

}  // namespace berth::environment
