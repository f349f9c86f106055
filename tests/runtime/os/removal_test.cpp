#include "runtime/os/removal.hpp"

#include <dirent.h>
#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/base/error.hpp"
#include "runtime/os/fd.hpp"
#include "runtime/os/file.hpp"
#include "tests/support/skip.hpp"

using namespace berth;

namespace {

void touch(const std::string& path) { os::write_file(path, "x", 0644, os::Durable::no); }

// Nested so deep that no path names the innermost one; a file at every hundredth level.
void nest(const std::string& top, int levels) {
  auto here = os::open(top, O_RDONLY | O_DIRECTORY);
  for (int i = 0; i < levels; ++i) {
    REQUIRE(::mkdirat(here.get(), "d", 0755) == 0);
    here = os::open_at(here, "d", O_RDONLY | O_DIRECTORY);
    if (i % 100 == 0) os::open_at(here, "file", O_WRONLY | O_CREAT, 0644);
  }
}

}  // namespace

TEST_CASE("directories nested deeper than any path can name are removed with few descriptors") {
  const os::TempDir directory;
  os::make_directories(directory / "tree/beside");
  touch(directory / "tree/beside/file");
  nest(directory / "tree", 5'000);
  rlimit before{};
  REQUIRE(::getrlimit(RLIMIT_NOFILE, &before) == 0);
  const rlimit few{64, before.rlim_max};
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &few) == 0);
  const auto removal = os::remove_what_can_be(directory / "tree");
  ::setrlimit(RLIMIT_NOFILE, &before);
  CHECK(removal.complete());
  CHECK(removal.first_failure.empty());
  CHECK_FALSE(os::exists(directory / "tree"));
}

TEST_CASE("a wide tree, a file, a link and nothing at all are removed") {
  const os::TempDir directory;
  for (int i = 0; i < 40; ++i)
    for (int k = 0; k < 40; ++k)
      os::make_directories(directory / ("tree/" + std::to_string(i) + "/" + std::to_string(k)));
  for (int i = 0; i < 3000; ++i) touch(directory / ("tree/0/file" + std::to_string(i)));
  CHECK(os::remove_what_can_be(directory / "tree").complete());
  CHECK_FALSE(os::exists(directory / "tree"));
  touch(directory / "kept");
  REQUIRE(::symlink("kept", (directory / "link").c_str()) == 0);
  CHECK(os::remove_what_can_be(directory / "link").complete());
  CHECK_FALSE(os::exists(directory / "link"));
  CHECK(os::exists(directory / "kept"));
  CHECK(os::remove_what_can_be(directory / "kept").complete());
  CHECK(os::remove_what_can_be(directory / "kept").complete());
  CHECK(os::remove_what_can_be(directory / "kept/below").complete());
}

TEST_CASE("directories that their owner closed are removed, at every depth") {
  const os::TempDir directory;
  std::string path = directory / "tree";
  for (int i = 0; i < 30; ++i) path += "/closed";
  os::make_directories(path);
  touch(path + "/file");
  for (; path != directory.path(); path = os::parent_of(path)) REQUIRE(::chmod(path.c_str(), 0) == 0);
  CHECK(os::remove_what_can_be(directory / "tree").complete());
  CHECK_FALSE(os::exists(directory / "tree"));
}

TEST_CASE("a mount below is neither entered nor a reason to keep the rest") {
  SKIP_UNLESS(::geteuid() == 0, "root, who mounts");
  const os::TempDir directory;
  os::make_directories(directory / "elsewhere");
  touch(directory / "elsewhere/kept");
  os::make_directories(directory / "tree/mount");
  os::make_directories(directory / "tree/a/b");
  touch(directory / "tree/z");
  const bool mounted =
      ::mount((directory / "elsewhere").c_str(), (directory / "tree/mount").c_str(), nullptr, MS_BIND, nullptr) == 0;
  SKIP_UNLESS(mounted, "the right to mount");
  const auto removal = os::remove_what_can_be(directory / "tree");
  CHECK(removal.left == 1);
  CHECK(removal.first_failure.starts_with("cannot remove mount: "));
  CHECK(os::exists(directory / "elsewhere/kept"));
  CHECK_FALSE(os::exists(directory / "tree/a"));
  CHECK_FALSE(os::exists(directory / "tree/z"));
  CHECK_THROWS_AS(os::remove_tree(directory / "tree"), Error);
  REQUIRE(::umount((directory / "tree/mount").c_str()) == 0);
  os::remove_tree(directory / "tree");
  CHECK_FALSE(os::exists(directory / "tree"));
}

TEST_CASE("a removal that is stopped says so and leaves the rest") {
  const os::TempDir directory;
  os::make_directories(directory / "tree/a");
  std::stop_source stop;
  stop.request_stop();
  const auto removal = os::remove_what_can_be(directory / "tree", stop.get_token());
  CHECK(removal.stopped);
  CHECK_FALSE(removal.complete());
  CHECK(os::exists(directory / "tree/a"));
}
