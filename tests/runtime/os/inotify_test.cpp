#include "runtime/os/inotify.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/inotify.h>

#include "runtime/base/error.hpp"
#include "runtime/os/file.hpp"

using namespace berth;

namespace {

bool readable(const os::Inotify& watches) {
  pollfd poll{watches.fd().get(), POLLIN, 0};
  return ::poll(&poll, 1, 0) == 1;
}

}  // namespace

TEST_CASE("a watched directory tells what appears in it, by name") {
  const os::TempDir directory;
  os::Inotify watches;
  const int watch = watches.add(directory.path(), IN_CREATE | IN_MOVED_TO);
  CHECK(!readable(watches));
  CHECK(watches.read().empty());
  os::write_file(directory / "a", "x", 0600, os::Durable::no);
  CHECK(readable(watches));
  const auto events = watches.read();
  REQUIRE(events.size() == 2);  // the temporary file, then the final name
  CHECK(events[1].watch == watch);
  CHECK(events[1].name == "a");
  CHECK((events[1].mask & IN_MOVED_TO) != 0);
  CHECK(!readable(watches));
}

TEST_CASE("a one-shot watch on an open file fires once, whatever the file is called by then") {
  const os::TempDir directory;
  const auto file = os::open(directory / "log", O_RDWR | O_CREAT, 0600);
  os::Inotify watches;
  const int watch = watches.add(file, IN_MODIFY | IN_ONESHOT);
  REQUIRE(::rename((directory / "log").c_str(), (directory / "moved").c_str()) == 0);
  os::write_all(file, "1");
  os::write_all(file, "2");
  const auto events = watches.read();
  REQUIRE(!events.empty());
  CHECK(events[0].watch == watch);
  CHECK((events[0].mask & IN_MODIFY) != 0);
  os::write_all(file, "3");
  CHECK(watches.read().empty());
}

TEST_CASE("a removed watch is silent") {
  const os::TempDir directory;
  os::Inotify watches;
  watches.remove(watches.add(directory.path(), IN_CREATE));
  watches.read();  // the kernel's word that it is gone
  os::make_directories(directory / "a");
  CHECK(watches.read().empty());
}

TEST_CASE("what is absent cannot be watched") {
  os::Inotify watches;
  CHECK_THROWS_AS(watches.add("/nowhere", IN_CREATE), Error);
}
