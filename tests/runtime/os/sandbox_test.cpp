#include "runtime/os/sandbox.hpp"

#include <doctest/doctest.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <functional>

#include "runtime/base/error.hpp"
#include "runtime/os/child.hpp"
#include "runtime/os/file.hpp"
#include "runtime/os/process.hpp"
#include "tests/support/skip.hpp"

using namespace berth;

namespace {

std::optional<os::Identity> somebody() {
  if (::geteuid() != 0) return std::nullopt;
  os::Identity identity;
  identity.uid = identity.gid = 1'900'000'007;
  identity.groups = {identity.gid};
  identity.name = "somebody";
  return identity;
}

// A place with a directory of the program's own, one of others, and one that it is given to read.
class Place {
 public:
  Place() {
    for (const auto* name : {"own", "given", "given/secret", "others"}) os::make_directories(root_ / name, 0755);
    for (const auto* name : {"given/file", "given/secret/file", "others/file"})
      os::write_file(root_ / name, name, 0644, os::Durable::no);
    ::chmod(root_.path().c_str(), 0755);
    if (const auto who = somebody()) {
      REQUIRE(::chown((root_ / "own").c_str(), who->uid, who->gid) == 0);
    }
    sandbox.writable = {root_ / "own"};
    sandbox.readable = {root_ / "given", root_ / "absent", "/run", "/proc/1", "/bin/sh", "/usr/bin/env", "/"};
    sandbox.hidden = {root_ / "given/secret"};
  }
  std::string operator/(std::string_view name) const { return root_ / name; }

  // Whether a shell says yes within it.
  int run(const std::string& script) const {
    const pid_t pid = ::fork();
    if (pid == 0) {
      try {
        os::enter_sandbox(sandbox, somebody());
        if (const auto who = somebody(); who && !os::become(*who)) ::_exit(120);
        if (::chdir(sandbox.writable[0].c_str()) != 0) ::_exit(121);
        ::execl("/bin/sh", "sh", "-euc", script.c_str(), nullptr);
      } catch (const Error& error) {
        [[maybe_unused]] const auto written = ::write(2, error.message().data(), error.message().size());
      }
      ::_exit(122);
    }
    int status = 0;
    ::waitpid(pid, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
  }

  os::Sandbox sandbox;

 private:
  os::TempDir root_;
};

// "" where there can be one.
std::string what_lacks() {
  const os::TempDir place;
  const auto reason = os::why_no_sandbox(somebody(), place.path());
  return reason.empty() ? "" : "sandboxes (" + reason + ")";
}

}  // namespace

TEST_CASE("a program in a sandbox sees the system, its own directory and what it was given") {
  SKIP_UNLESS(what_lacks().empty(), what_lacks());
  const Place place;
  CHECK(place.run("echo mine >file; grep -q mine file; test -x /usr/bin/env; test -r /etc/passwd; : </dev/null") == 0);
  CHECK(os::read_file(place / "own/file") == "mine\n");
  CHECK(place.run("grep -q given '" + (place / "given/file") + "'") == 0);
  CHECK(place.run("! echo x 2>/dev/null >'" + (place / "given/file") + "'") == 0);
  CHECK(place.run("! test -e '" + (place / "others") + "'") == 0);
  CHECK(place.run("test -z \"$(ls '" + (place / "given/secret") + "')\"") == 0);
  CHECK(place.run(
            "for d in /home /root /run /var/lib /srv /mnt /boot; do test -z \"$(ls $d 2>/dev/null || true)\"; done") ==
        0);
  CHECK(place.run("! touch /new 2>/dev/null; ! touch /usr/new 2>/dev/null; ! touch /etc/new 2>/dev/null") == 0);
  CHECK(place.run("echo x >/tmp/x; echo x >/var/tmp/x; echo x >/dev/shm/x; test -z \"$(ls /sys/fs/cgroup)\"") == 0);
  CHECK(!os::exists("/dev/shm/x"));
}

TEST_CASE("a program in a sandbox sees no other processes, and none outlives its first one") {
  SKIP_UNLESS(what_lacks().empty(), what_lacks());
  const Place place;
  CHECK(place.run("test $$ = 1; test \"$(ls /proc | grep -c '^[0-9]')\" -lt 10; ! kill -0 " +
                  std::to_string(::getpid()) + " 2>/dev/null") == 0);
  CHECK(place.run("setsid sh -c 'while :; do echo >>beat; sleep 0.01; done' >/dev/null 2>&1 & while ! test -s beat; do "
                  ":; done") == 0);
  const auto size = os::read_file(place / "own/beat").size();
  ::usleep(50'000);  // many beats: that there are none has no other sign
  CHECK(os::read_file(place / "own/beat").size() == size);
}

TEST_CASE("who waits for a program in a sandbox ends as it does") {
  SKIP_UNLESS(what_lacks().empty(), what_lacks());
  const Place place;
  CHECK(place.run("exit 7") == 7);
  CHECK(place.run("sh -c 'kill -9 $$' || exit $?") == 137);
}

TEST_CASE("a program in a sandbox has no capabilities and cannot get any") {
  SKIP_UNLESS(what_lacks().empty(), what_lacks());
  const Place place;
  CHECK(place.run("grep -q '^CapEff:.0000000000000000$' /proc/self/status; grep -q '^CapPrm:.0000000000000000$' "
                  "/proc/self/status") == 0);
  CHECK(place.run("! umount /sys/fs/cgroup 2>/dev/null; ! mount -t tmpfs x /tmp 2>/dev/null") == 0);
  CHECK(place.run("! mknod device c 1 3 2>/dev/null") == 0);
}

TEST_CASE("what a build user left running is killed, and nothing else") {
  const auto who = somebody();
  SKIP_UNLESS(who, "root");
  auto ready = os::make_pipe();
  const pid_t pid = ::fork();
  if (pid == 0) {
    if (!os::become(*who)) ::_exit(1);
    os::write_all(ready.write, "x");
    for (;;) ::pause();
  }
  ready.write.reset();
  std::array<char, 1> told{};
  CHECK(os::read_some(ready.read, told) == 1);
  os::kill_processes_of(who->uid);
  int status = 0;
  ::waitpid(pid, &status, 0);
  CHECK(WIFSIGNALED(status));
  os::kill_processes_of(who->uid);
}
