#include "runtime/os/lock.hpp"

#include <doctest/doctest.h>
#include <signal.h>
#include <sys/stat.h>

#include <array>

#include "runtime/base/error.hpp"
#include "runtime/os/file.hpp"
#include "runtime/os/spawn.hpp"

using namespace berth;

TEST_CASE("one holder at a time, and the next when it lets go") {
  const os::TempDir directory;
  auto first = os::FileLock::try_acquire(directory / "lock");
  REQUIRE(first);
  CHECK(!os::FileLock::try_acquire(directory / "lock"));
  first.reset();
  CHECK(os::FileLock::try_acquire(directory / "lock"));
}

TEST_CASE("the locked file can be read and written, by its owner alone") {
  const os::TempDir directory;
  const auto lock = os::FileLock::try_acquire(directory / "lock");
  REQUIRE(lock);
  os::write_all_at(lock->file(), "revoked", 0);
  CHECK(os::read_file(directory / "lock") == "revoked");
  struct stat info {};
  REQUIRE(::stat((directory / "lock").c_str(), &info) == 0);
  CHECK((info.st_mode & 0777) == 0600);
}

TEST_CASE("a lock is gone with its process, however it dies") {
  const os::TempDir directory;
  const auto path = directory / "lock";
  os::write_file(path, "", 0600, os::Durable::no);
  auto pipe = os::make_pipe();
  const auto holder = os::spawn({.arguments = {"/usr/bin/flock", path, "/bin/sh", "-c", "echo locked; exec sleep 1000"},
                                 .environment = {"PATH=/usr/bin:/bin"},
                                 .standard_output = pipe.write.get(),
                                 .new_session = true});
  pipe.write.reset();
  std::array<char, 16> buffer{};
  REQUIRE(os::read_some(pipe.read, buffer) == 7);
  CHECK(!os::FileLock::try_acquire(path));
  REQUIRE(::kill(-holder.id.pid, SIGKILL) == 0);
  os::reap(holder.pidfd);
  CHECK(os::read_some(pipe.read, buffer) == 0);  // nobody holds it any more
  CHECK(os::FileLock::try_acquire(path));
}

TEST_CASE("a lock needs a directory that is there") {
  CHECK_THROWS_AS(os::FileLock::try_acquire("/nowhere/lock"), Error);
}
