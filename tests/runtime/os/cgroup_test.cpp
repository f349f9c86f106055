#include "runtime/os/cgroup.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runtime/base/error.hpp"
#include "runtime/os/file.hpp"
#include "runtime/os/spawn.hpp"
#include "tests/support/skip.hpp"

using namespace berth;

namespace {

// A group for one test; nothing where no cgroup2 hierarchy can be written.
struct Group {
  Group() {
    base = os::find_cgroup_base("");
    if (base) group = os::Cgroup::make(*base, "berth-test-" + std::to_string(::getpid()));
  }
  ~Group() {
    if (!group || !os::exists(group->path())) return;
    group->kill();
    wait_until_empty();
    CHECK(group->remove());
  }
  void wait_until_empty() const {
    const auto events = os::open_at(group->directory(), "cgroup.events", O_RDONLY);
    for (int i = 0; i < 100 && group->populated(); ++i) {
      pollfd poll{events.get(), POLLPRI, 0};
      ::poll(&poll, 1, 100);
      ::lseek(events.get(), 0, SEEK_SET);
      os::read_all(events, 4096);  // else the next poll returns at once
    }
  }
  std::optional<std::string> base;
  std::optional<os::Cgroup> group;
};

}  // namespace

TEST_CASE("killing a group ends a whole tree, however it forked") {
  const Group test;
  SKIP_UNLESS(test.group, "a writable cgroup2 directory");
  auto pipe = os::make_pipe();
  const auto child = os::spawn({.arguments = {"/bin/sh", "-c", "read go; setsid sleep 1000 & sleep 1000 & wait"},
                                .environment = {"PATH=/usr/bin:/bin"},
                                .standard_input = pipe.read.get()});
  test.group->add(child.id.pid);
  os::write_all(pipe.write, "go\n");
  CHECK(test.group->populated());
  CHECK(!test.group->remove());
  test.group->kill();
  const auto exit = os::reap(child.pidfd);
  CHECK(exit.signalled);
  CHECK(exit.status == SIGKILL);
  test.wait_until_empty();
  CHECK(!test.group->populated());
}

TEST_CASE("a process can be born in a group") {
  const Group test;
  SKIP_UNLESS(test.group, "a writable cgroup2 directory");
  const auto child = os::spawn({.arguments = {"/bin/sleep", "1000"}, .cgroup = test.group->directory().get()});
  const auto members = os::read_file(test.group->path() + "/cgroup.procs");
  CHECK(members == std::to_string(child.id.pid) + "\n");
  test.group->kill();
  os::reap(child.pidfd);
}

TEST_CASE("a group that was killed before can be born into, and left for a fresh one") {
  const Group test;
  SKIP_UNLESS(test.group, "a writable cgroup2 directory");
  test.group->kill();
  const auto child = os::spawn({.arguments = {"/bin/sleep", "1000"}, .cgroup = test.group->directory().get()});
  CHECK(os::read_file(test.group->path() + "/cgroup.procs") == std::to_string(child.id.pid) + "\n");
  test.group->kill();
  os::reap(child.pidfd);
  test.wait_until_empty();

  // From a process in it, into one that was never killed.
  const pid_t pid = os::fork_into_cgroup(test.group->directory().get());
  REQUIRE(pid >= 0);
  if (pid == 0) {
    const auto fresh = os::Cgroup::make(*test.base, "berth-test-fresh-" + std::to_string(::getpid()));
    const auto inner = os::spawn({.arguments = {"/bin/true"}, .cgroup = fresh.directory().get()});
    const auto exit = os::reap(inner.pidfd);
    fresh.remove();
    ::_exit(!exit.signalled && exit.status == 0 ? 0 : 1);
  }
  int status = 0;
  REQUIRE(::waitpid(pid, &status, 0) == pid);
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 0);
}

TEST_CASE("a group is found by its path until it is removed") {
  const Group test;
  SKIP_UNLESS(test.group, "a writable cgroup2 directory");
  CHECK(os::Cgroup::open(test.group->path()));
  const auto again = os::Cgroup::make(*test.base, os::name_of(test.group->path()));
  CHECK(again.path() == test.group->path());
  CHECK(again.remove());
  CHECK(again.remove());
  CHECK(!os::Cgroup::open(again.path()));
}

TEST_CASE("a group counts the CPU of its ended processes where the kernel tells") {
  const Group test;
  SKIP_UNLESS(test.group, "a writable cgroup2 directory");
  const auto child = os::spawn({.arguments = {"/bin/sh", "-c", "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done"},
                                .cgroup = test.group->directory().get()});
  os::reap(child.pidfd);
  const auto micros = test.group->cpu_micros();
  if (micros) CHECK(micros->total > 0);
}

TEST_CASE("what is no cgroup2 directory is not taken for one") {
  const os::TempDir directory;
  CHECK(!os::find_cgroup_base(directory.path()));
  CHECK(!os::find_cgroup_base("/nowhere"));
}

// The files of a group with all controllers, as the kernel writes them.
TEST_CASE("memory, its limit and io are read where the controllers are") {
  const os::TempDir directory;
  const auto group = os::Cgroup::open(directory.path());
  REQUIRE(group);
  CHECK(!group->current_memory());
  CHECK(!group->memory_limit());
  CHECK(!group->io_bytes());
  os::write_file(directory / "memory.current", "1052672\n", 0644, os::Durable::no);
  os::write_file(directory / "memory.max", "max\n", 0644, os::Durable::no);
  os::write_file(directory / "io.stat",
                 "8:16 rbytes=1459200 wbytes=4096 rios=192 wios=353 dbytes=9 dios=0\n"
                 "8:0 rbytes=800 wbytes=0 rios=1 wios=0 dbytes=0 dios=0\n",
                 0644, os::Durable::no);
  CHECK(group->current_memory() == 1'052'672U);
  CHECK(!group->memory_limit());
  os::write_file(directory / "memory.max", "2097152\n", 0644, os::Durable::no);
  CHECK(group->memory_limit() == 2'097'152U);
  REQUIRE(group->io_bytes());
  CHECK(group->io_bytes()->read == 1'460'000);
  CHECK(group->io_bytes()->written == 4096);
}
