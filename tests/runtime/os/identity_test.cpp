#include "runtime/os/identity.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/fsuid.h>
#include <sys/stat.h>
#include <unistd.h>

#include <latch>
#include <string>
#include <thread>

#include "runtime/base/error.hpp"
#include "runtime/os/file.hpp"
#include "tests/support/skip.hpp"

using namespace berth;

TEST_CASE("users are found by number, with name, home and groups") {
  const auto root = os::identity_of(0);
  REQUIRE(root);
  CHECK(root->name == "root");
  CHECK(root->home == "/root");
  CHECK(!root->groups.empty());
  CHECK(os::user_name(0) == "root");
  CHECK(!os::identity_of(3'999'999'999));
  CHECK(os::user_name(3'999'999'999) == "3999999999");
}

TEST_CASE("groups are found by name") {
  CHECK(os::group_id("root") == 0U);
  CHECK(!os::group_id("no-such-group"));
}

TEST_CASE("acting as a user, the kernel checks that user's rights, in this thread alone") {
  SKIP_UNLESS(::geteuid() == 0, "root, who acts as others");
  const os::TempDir directory;  // mode 0700
  os::write_file(directory / "secret", "x", 0600, os::Durable::no);
  std::latch acting(1);
  std::string seen;
  std::thread other([&] {
    acting.wait();
    seen = os::read_file(directory / "secret");
  });
  {
    const os::ActAs nobody(65534, 65534);
    CHECK_THROWS_AS(os::read_file(directory / "secret"), Error);
    acting.count_down();
    other.join();
  }
  CHECK(seen == "x");
  CHECK(os::read_file(directory / "secret") == "x");
}

TEST_CASE("files made while acting as a user belong to that user") {
  SKIP_UNLESS(::geteuid() == 0, "root, who acts as others");
  const os::TempDir directory;
  ::chmod(directory.path().c_str(), 0777);
  {
    const os::ActAs nobody(65534, 65534);
    os::write_file(directory / "a", "x", 0600, os::Durable::no);
  }
  struct stat info {};
  REQUIRE(::stat((directory / "a").c_str(), &info) == 0);
  CHECK(info.st_uid == 65534);
  CHECK(info.st_gid == 65534);
}
