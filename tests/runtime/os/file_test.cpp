#include "runtime/os/file.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "runtime/base/error.hpp"

using namespace berth;

namespace {

unsigned mode_of(const std::string& path) {
  struct stat info {};
  REQUIRE(::lstat(path.c_str(), &info) == 0);
  return info.st_mode & 07777;
}

std::size_t entries(const std::string& path) {
  return static_cast<std::size_t>(
      std::distance(std::filesystem::directory_iterator(path), std::filesystem::directory_iterator()));
}

}  // namespace

TEST_CASE("a file is replaced as a whole and leaves nothing beside it") {
  const os::TempDir directory;
  os::write_file(directory / "a", "old", 0644, os::Durable::no);
  os::write_file(directory / "a", "new", 0600, os::Durable::yes);
  CHECK(os::read_file(directory / "a") == "new");
  CHECK(mode_of(directory / "a") == 0600);
  CHECK(entries(directory.path()) == 1);
}

TEST_CASE("a failed replacement leaves the old file and no temporary one") {
  const os::TempDir directory;
  os::make_directories(directory / "a/child");
  try {
    os::write_file(directory / "a", "x", 0644, os::Durable::no);
    FAIL("no error");
  } catch (const Error& error) {
    CHECK(error.describe().find("writing " + directory.path() + "/a") != std::string::npos);
  }
  CHECK(entries(directory.path()) == 1);
}

TEST_CASE("an absent file is nothing, or an error where it must be there") {
  const os::TempDir directory;
  CHECK(!os::read_file_if_exists(directory / "a"));
  CHECK_THROWS_AS(os::read_file(directory / "a"), Error);
  CHECK_THROWS_AS(os::read_file_if_exists(directory.path()), Error);  // a directory is no absent file
  os::write_file(directory / "a", "12345", 0644, os::Durable::no);
  CHECK(os::read_file_if_exists(directory / "a") == "12345");
  CHECK_THROWS_AS(os::read_file(directory / "a", 4), Error);
}

TEST_CASE("directories are made with their parents, and what is in the way is told") {
  const os::TempDir directory;
  os::make_directories(directory / "a/b/c");
  os::make_directories(directory / "a/b/c");
  os::make_directories(directory / "a/b/d/");
  CHECK(os::exists(directory / "a/b/d"));
  os::write_file(directory / "file", "", 0644, os::Durable::no);
  try {
    os::make_directories(directory / "file");
    FAIL("no error");
  } catch (const Error& error) {
    CHECK(error.code() == Code::conflict);
  }
  CHECK_THROWS_AS(os::make_directories(directory / "file/below"), Error);
}

TEST_CASE("removing a tree follows no symlink, and what is absent is fine") {
  const os::TempDir directory;
  os::make_directories(directory / "kept");
  os::write_file(directory / "kept/file", "x", 0644, os::Durable::no);
  os::make_directories(directory / "tree/sub");
  REQUIRE(::symlink((directory / "kept").c_str(), (directory / "tree/link").c_str()) == 0);
  os::remove_tree(directory / "tree");
  os::remove_tree(directory / "tree");
  CHECK(!os::exists(directory / "tree"));
  CHECK(os::exists(directory / "kept/file"));
}

TEST_CASE("removing a file tells whether there was one") {
  const os::TempDir directory;
  os::write_file(directory / "a", "", 0644, os::Durable::no);
  CHECK(os::remove_file(directory / "a"));
  CHECK(!os::remove_file(directory / "a"));
  CHECK_THROWS_AS(os::remove_file(directory.path()), Error);
}

TEST_CASE("a dangling symlink exists") {
  const os::TempDir directory;
  REQUIRE(::symlink("nowhere", (directory / "link").c_str()) == 0);
  CHECK(os::exists(directory / "link"));
}

TEST_CASE("paths are joined and taken apart") {
  CHECK(os::join("/a/b", "c") == "/a/b/c");
  CHECK(os::join("/", "c") == "/c");
  CHECK(os::join("/a/", "c") == "/a/c");
  CHECK(os::parent_of("/a/b") == "/a");
  CHECK(os::parent_of("/a/b/") == "/a");
  CHECK(os::parent_of("/a") == "/");
  CHECK(os::parent_of("/") == "/");
  CHECK(os::parent_of("a") == ".");
  CHECK(os::name_of("/a/b") == "b");
  CHECK(os::name_of("/a/b/") == "b");
  CHECK(os::name_of("a") == "a");
}

TEST_CASE("a file system tells its space") {
  const auto space = os::space_of("/tmp");
  CHECK(space.total > 0);
  CHECK(space.free <= space.total);
  CHECK_THROWS_AS(os::space_of("/nowhere"), Error);
}

TEST_CASE("a temporary directory goes with its content unless it is kept") {
  std::string path;
  {
    os::TempDir directory("berth-file-test");
    path = directory.path();
    CHECK(mode_of(path) == 0700);
    os::make_directories(directory / "a/b");
    const os::TempDir moved(std::move(directory));
    CHECK(os::exists(path));
  }
  CHECK(!os::exists(path));
  {
    os::TempDir directory;
    path = directory.path();
    directory.keep();
  }
  CHECK(os::exists(path));
  os::remove_tree(path);
}

TEST_CASE("what a killed process of the same number left half-written is in nobody's way") {
  const os::TempDir place;
  const auto path = place / "file";
  for (int i = 0; i < 2000; ++i)
    os::write_all(
        os::open(path + ".tmp." + std::to_string(::getpid()) + "." + std::to_string(i), O_WRONLY | O_CREAT, 0600),
        "left");
  os::write_file(path, "whole", 0600, os::Durable::no);
  CHECK(os::read_file(path) == "whole");
  CHECK_FALSE(os::write_new_file(path, "other", 0600, os::Durable::no));
  CHECK(os::read_file(path) == "whole");
}
