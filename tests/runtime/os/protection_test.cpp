#include "runtime/os/protection.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/base/error.hpp"
#include "runtime/os/file.hpp"
#include "runtime/os/mount.hpp"
#include "tests/runtime/os/in_child.hpp"
#include "tests/support/skip.hpp"

using namespace berth;

namespace {

bool can_write(const std::string& path) {
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  if (fd >= 0) ::close(fd);
  return fd >= 0;
}

void write(const std::string& path) { os::write_file(path, "x", 0644, os::Durable::no); }

uid_t owner_of(const std::string& path) {
  struct stat info {};
  REQUIRE(::lstat(path.c_str(), &info) == 0);
  return info.st_uid;
}

constexpr const char* kSuchMounts = "mounts of this kind";

struct Place {
  os::TempDir directory;
  std::string shared = directory / "shared";
  std::string own = directory / "shared/own";
  os::Protections possible = os::possible_protections(directory.path(), directory.path());

  Place() {
    ::chmod(directory.path().c_str(), 0755);
    os::make_directories(own);
    write(shared + "/file");
  }
};

}  // namespace

TEST_CASE("what is protected cannot be written, but for what is a process' own, and only there") {
  const Place place;
  SKIP_UNLESS(place.possible.read_only, kSuchMounts);
  CHECK(os::in_child([&] {
    os::enter_private_mounts();
    os::protect({place.shared, place.directory / "not there"}, {place.own});
    return !can_write(place.shared + "/file") && !can_write(place.shared + "/new") && can_write(place.own + "/new") &&
           ::link((place.shared + "/file").c_str(), (place.own + "/link").c_str()) != 0 &&
           ::rename((place.shared + "/file").c_str(), (place.own + "/moved").c_str()) != 0;
  }));
  CHECK(can_write(place.shared + "/file"));  // the machine's own view is as it was
  CHECK(os::exists(place.own + "/new"));
}

TEST_CASE("an overlay on what is protected stays writable, and what it lies on does not") {
  const Place place;
  SKIP_UNLESS(place.possible.read_only && place.possible.layers, kSuchMounts);
  const os::Overlay overlay{{place.shared}, place.directory / "upper", place.directory / "work", place.shared};
  for (const auto& path : {overlay.upper, overlay.work}) os::make_directories(path);
  CHECK(os::in_child([&] {
    os::enter_private_mounts();
    os::mount_overlay(overlay);
    os::protect({place.directory.path()}, {place.shared});
    return can_write(place.shared + "/new") && !can_write(overlay.upper + "/new") &&
           !can_write(place.directory / "new");
  }));
  CHECK(os::exists(overlay.upper + "/new"));
  CHECK(!os::exists(place.shared + "/new"));
}

TEST_CASE("in a layer for another user what is root's is his, and on disk it is root's still") {
  const Place place;
  SKIP_UNLESS(place.possible.owned, kSuchMounts);
  const os::Overlay overlay{{place.shared}, place.directory / "upper", place.directory / "work", place.shared};
  for (const auto& path : {overlay.upper, overlay.work}) os::make_directories(path);
  REQUIRE(::chown(overlay.upper.c_str(), 65534, 65534) == 0);
  CHECK(os::in_child([&] {
    os::enter_private_mounts();
    os::mount_owned(place.shared, os::swapped_ids(65534, 65534));
    os::mount_overlay(overlay);
    if (owner_of(place.shared + "/file") != 65534 || ::setgid(65534) != 0 || ::setuid(65534) != 0) return false;
    return can_write(place.shared + "/file") && ::chmod((place.shared + "/file").c_str(), 0600) == 0 &&
           can_write(place.shared + "/own/new") && ::rmdir(place.own.c_str()) != 0;
  }));
  CHECK(owner_of(place.shared + "/file") == 0);
  CHECK(owner_of(overlay.upper + "/file") == 65534);
  CHECK(owner_of(overlay.upper + "/own/new") == 65534);
  CHECK(!os::exists(place.own + "/new"));
}

TEST_CASE("asking what is possible leaves nothing behind") {
  const os::TempDir directory;
  os::possible_protections(directory.path(), directory.path());
  CHECK(::rmdir(directory.path().c_str()) == 0);
}
