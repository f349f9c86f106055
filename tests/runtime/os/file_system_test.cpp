#include "runtime/os/file_system.hpp"

#include <doctest/doctest.h>

#include "runtime/base/error.hpp"

using namespace berth;

namespace {

constexpr const char* kMounts =
    "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n"
    "23 22 0:5 / /proc rw - proc proc rw\n"
    "30 22 0:40 / /srv/two\\040words rw,relatime - nfs4 host:/x rw\n"
    "31 22 0:41 / /run rw shared:2 master:3 - tmpfs tmpfs rw\n"
    "32 31 0:42 / /run rw - ramfs ramfs rw\n"
    "malformed\n";

}  // namespace

TEST_CASE("a path's file system is that of the longest mount point above it") {
  CHECK(os::mount_type(kMounts, "/var/lib/berth") == "ext4");
  CHECK(os::mount_type(kMounts, "/proc") == "proc");
  CHECK(os::mount_type(kMounts, "/processes") == "ext4");
  CHECK(os::mount_type(kMounts, "/srv/two words/state") == "nfs4");
  CHECK(os::mount_type(kMounts, "/run/berth") == "ramfs");
  CHECK(os::mount_type("", "/run").empty());
}

TEST_CASE("the file system of this machine's directories is known") {
  CHECK(os::file_system_of("/proc").type == "proc");
  const os::TempDir directory;
  const auto system = os::file_system_of(directory.path());
  CHECK(!system.type.empty());
  CHECK(system.space.total >= system.space.free);
  CHECK(system.files_total >= system.files_free);
  CHECK_THROWS_AS(os::file_system_of("/nowhere/at/all"), Error);
}
