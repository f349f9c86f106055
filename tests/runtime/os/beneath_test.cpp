#include "runtime/os/beneath.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/base/error.hpp"
#include "runtime/os/file.hpp"

namespace berth::os {
namespace {

struct Place {
  Place() { write_file(dir / "secret", "secret", 0600, Durable::no); }
  TempDir dir;
  std::string inside = (make_directories(dir / "inside"), dir / "inside");
  Fd root = open_directory(inside);
};

Code code_of(const auto& work) {
  try {
    work();
  } catch (const Error& error) {
    return error.code();
  }
  return Code::internal;
}

TEST_CASE("a plain file beneath a directory is opened, read and written") {
  Place place;
  make_directories(place.inside + "/a/b");
  write_file(place.inside + "/a/b/file", "hello", 0600, Durable::no);
  CHECK(read_all(open_beneath(place.root, "a/b/file", O_RDONLY, trusted_file()), 100) == "hello");
  write_all(open_beneath(place.root, "a/new", O_WRONLY | O_CREAT, trusted_file()), "made");
  CHECK(read_file(place.inside + "/a/new") == "made");
  CHECK_FALSE(open_beneath_if_exists(place.root, "none", O_RDONLY, trusted_file()));
  CHECK_FALSE(open_beneath_if_exists(place.root, "none/at/all", O_RDONLY, trusted_file()));
  CHECK(code_of([&] { open_beneath(place.root, "none", O_RDONLY, trusted_file()); }) == Code::not_found);
  CHECK(read_plain_if_exists(place.inside + "/a/b/file") == "hello");
  CHECK_FALSE(read_plain_if_exists(place.inside + "/none/file"));
}

TEST_CASE("a link is not followed, wherever it stands") {
  Place place;
  const auto secret = place.dir / "secret";
  REQUIRE(::symlink(secret.c_str(), (place.inside + "/log").c_str()) == 0);
  REQUIRE(::symlink(place.dir.path().c_str(), (place.inside + "/up").c_str()) == 0);
  for (const int flags : {O_RDONLY, O_WRONLY | O_CREAT, O_WRONLY | O_APPEND})
    for (const char* path : {"log", "up/secret"})
      CHECK(code_of([&] { open_beneath(place.root, path, flags, trusted_file()); }) == Code::corrupt);
  CHECK(code_of([&] { open_plain(place.inside + "/log", O_RDONLY); }) == Code::corrupt);
  CHECK(read_file(secret) == "secret");
}

TEST_CASE("a dangling link makes no file elsewhere") {
  Place place;
  const auto elsewhere = place.dir / "elsewhere";
  REQUIRE(::symlink(elsewhere.c_str(), (place.inside + "/log").c_str()) == 0);
  CHECK(code_of([&] { open_beneath(place.root, "log", O_WRONLY | O_CREAT, trusted_file()); }) == Code::corrupt);
  CHECK_FALSE(exists(elsewhere));
}

TEST_CASE("what leads out of the directory is refused") {
  Place place;
  for (const char* path : {"../secret", "/etc/passwd", "a/../../secret", "..", ""})
    CHECK(code_of([&] { open_beneath(place.root, path, O_RDONLY, trusted_file()); }) == Code::invalid);
}

TEST_CASE("a fifo does not hang whoever opens it, nor does a directory pass for a file") {
  Place place;
  REQUIRE(::mkfifo((place.inside + "/log").c_str(), 0600) == 0);
  make_directories(place.inside + "/ending.json");
  for (const char* name : {"log", "ending.json"})
    CHECK(code_of([&] { open_beneath(place.root, name, O_RDONLY, trusted_file()); }) == Code::corrupt);
}

TEST_CASE("another's file is told from one's own") {
  if (::geteuid() != 0) return;
  Place place;
  const auto path = place.inside + "/started.json";
  write_file(path, "forged", 0644, Durable::no);
  REQUIRE(::chown(path.c_str(), 12345, 12345) == 0);
  CHECK(code_of([&] { open_plain(path, O_RDONLY); }) == Code::corrupt);
  CHECK(read_plain_if_exists(path, file_of(12345)) == "forged");
  REQUIRE(::chown(path.c_str(), kNobodysOwn, 0) == 0);
  CHECK(read_plain_if_exists(path) == "forged");
}

}  // namespace
}  // namespace berth::os
