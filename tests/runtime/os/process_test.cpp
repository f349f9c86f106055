#include "runtime/os/process.hpp"

#include <doctest/doctest.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>

#include "runtime/os/spawn.hpp"

using namespace berth;

namespace {

os::Child sleeper(std::vector<std::string> environment = {}) {
  return os::spawn({.arguments = {"/bin/sleep", "1000"}, .environment = std::move(environment)});
}

bool readable(const os::Fd& pidfd, int millis) {
  pollfd poll{pidfd.get(), POLLIN, 0};
  return ::poll(&poll, 1, millis) == 1;
}

bool holds(const std::vector<pid_t>& pids, pid_t pid) { return std::find(pids.begin(), pids.end(), pid) != pids.end(); }

void end(const os::Child& child) {
  os::send_signal(child.pidfd, SIGKILL);
  os::reap(child.pidfd);
}

}  // namespace

TEST_CASE("a process is its number and its start; a zombie still is one, a reaped one is not") {
  const auto child = sleeper();
  CHECK(os::process_id(child.id.pid) == child.id);
  CHECK(child.id.start_ticks > 0);
  CHECK(os::process_id(::getpid()) == os::process_id(::getpid()));
  CHECK(!readable(child.pidfd, 0));
  os::send_signal(child.pidfd, SIGKILL);
  CHECK(readable(child.pidfd, 5000));
  CHECK(os::process_id(child.id.pid) == child.id);
  os::reap(child.pidfd);
  CHECK(!os::process_id(child.id.pid));
  CHECK(!os::open_pidfd(child.id));
  CHECK(!os::send_signal(child.pidfd, SIGKILL));
}

TEST_CASE("a number that was reused is not taken for the process that had it before") {
  const auto child = sleeper();
  auto earlier = child.id;
  --earlier.start_ticks;
  CHECK(os::open_pidfd(child.id));
  CHECK(!os::open_pidfd(earlier));
  end(child);
}

TEST_CASE("an ending tells an exit code from a signal") {
  const auto exited = os::spawn({.arguments = {"/bin/sh", "-c", "exit 7"}});
  const auto first = os::reap(exited.pidfd);
  CHECK(!first.signalled);
  CHECK(first.status == 7);
  const auto killed = sleeper();
  os::send_signal(killed.pidfd, SIGTERM);
  const auto second = os::reap(killed.pidfd);
  CHECK(second.signalled);
  CHECK(second.status == SIGTERM);
}

TEST_CASE("descendants are found over several generations") {
  auto pipe = os::make_pipe();
  const auto child = os::spawn({.arguments = {"/bin/sh", "-c", "sh -c 'sleep 1000 & echo $!; wait' & wait"},
                                .environment = {"PATH=/usr/bin:/bin"},
                                .standard_output = pipe.write.get(),
                                .new_session = true});
  pipe.write.reset();
  std::array<char, 32> text{};
  REQUIRE(os::read_some(pipe.read, std::span(text).first(31)) > 1);
  const auto grandchild = static_cast<pid_t>(std::atoi(text.data()));
  const auto found = os::descendants_of(child.id.pid);
  CHECK(found.size() == 2);
  CHECK(holds(found, grandchild));
  CHECK(holds(os::descendants_of(::getpid()), grandchild));
  ::kill(-child.id.pid, SIGKILL);
  os::reap(child.pidfd);
}

TEST_CASE("processes are found by a mark in their environment, and only by the whole of it") {
  const auto mark = "BERTH_TEST_MARK=" + std::to_string(::getpid());
  const auto first = sleeper({mark, "OTHER=1"});
  const auto longer = sleeper({mark + "0"});
  const auto found = os::processes_with_environment(mark);
  CHECK(found == std::vector<pid_t>{first.id.pid});
  end(first);
  end(longer);
}

TEST_CASE("the boot has a name, which a test can change") {
  const auto real = os::boot_id();
  CHECK(real.size() == 36);
  ::setenv("BERTH_BOOT_ID", "another", 1);
  CHECK(os::boot_id() == "another");
  ::unsetenv("BERTH_BOOT_ID");
  CHECK(os::boot_id() == real);
}

TEST_CASE("signals have names with and without SIG, and numbers") {
  for (const auto* text : {"SIGTERM", "TERM", "15"}) CHECK(os::parse_signal(text) == SIGTERM);
  for (const auto* text : {"", "0", "-1", "SIG", "sigterm", "NOPE", "999", "15x"}) CHECK(!os::parse_signal(text));
  CHECK(os::signal_name(SIGKILL) == "SIGKILL");
  CHECK(os::signal_name(40) == "signal 40");
}
