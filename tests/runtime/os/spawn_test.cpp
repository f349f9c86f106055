#include "runtime/os/spawn.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include "program.hpp"
#include "runtime/base/error.hpp"
#include "runtime/os/file.hpp"
#include "tests/support/skip.hpp"

using namespace berth;

namespace {

os::Finished shell(const std::string& script, os::SpawnOptions options = {}) {
  options.arguments = {"/bin/sh", "-c", script};
  if (options.environment.empty()) options.environment = {"PATH=/usr/bin:/bin"};
  return os::test::run(std::move(options));
}

Error failure_of(const os::SpawnOptions& options) {
  try {
    os::reap(os::spawn(options).pidfd);
  } catch (const Error& error) {
    return error;
  }
  return Error(Code::internal, "it started");
}

}  // namespace

TEST_CASE("a program's output, errors and exit code are told") {
  const auto finished = shell("echo out; echo err >&2; exit 3");
  CHECK(finished.output == "out\n");
  CHECK(finished.errors == "err\n");
  CHECK(!finished.exit.signalled);
  CHECK(finished.exit.status == 3);
}

TEST_CASE("arguments and environment arrive exactly, and nothing else does") {
  const auto finished = os::test::run({.arguments = {"/usr/bin/printf", "[%s]", "a b", "", "c\nd"}, .environment = {}});
  CHECK(finished.output == "[a b][][c\nd]");
  CHECK(os::test::run({.arguments = {"/usr/bin/env"}, .environment = {"A=1", "B=x y"}}).output == "A=1\nB=x y\n");
}

TEST_CASE("no descriptor beyond the standard three is inherited, and the standard ones are /dev/null") {
  const os::Fd leak(::open("/dev/zero", O_RDONLY));  // not close-on-exec: as if a careless parent had left it open
  CHECK(os::test::run({.arguments = {"/bin/ls", "/proc/self/fd"}}).output == "0\n1\n2\n3\n");  // 3 is ls's own
  CHECK(shell("readlink /proc/self/fd/0").output == "/dev/null\n");
}

TEST_CASE("signals are at their defaults and unblocked in the program") {
  struct sigaction ignore {};
  ignore.sa_handler = SIG_IGN;
  struct sigaction before {};
  ::sigaction(SIGUSR1, &ignore, &before);
  sigset_t blocked;
  sigset_t old;
  sigemptyset(&blocked);
  sigaddset(&blocked, SIGTERM);
  ::sigprocmask(SIG_BLOCK, &blocked, &old);
  const auto status = shell("grep -E 'SigBlk|SigIgn' /proc/self/status").output;
  sigset_t now;
  ::sigprocmask(SIG_SETMASK, &old, &now);
  ::sigaction(SIGUSR1, &before, nullptr);
  CHECK(status == "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n");
  CHECK(sigismember(&now, SIGTERM) == 1);
}

TEST_CASE("what cannot be started is told at once, by name") {
  const os::TempDir directory;
  os::write_file(directory / "plain", "#!/bin/sh\n", 0644, os::Durable::no);
  CHECK(failure_of({.arguments = {"/nowhere/program"}}).code() == Code::not_found);
  CHECK(failure_of({.arguments = {"/nowhere/program"}}).message().find("/nowhere/program") != std::string::npos);
  CHECK(failure_of({.arguments = {directory / "plain"}}).code() == Code::denied);
  const auto error = failure_of({.arguments = {"/bin/true"}, .working_directory = "/nowhere"});
  CHECK(error.code() == Code::not_found);
  CHECK(error.message().find("enter directory /nowhere") != std::string::npos);
}

TEST_CASE("a program runs in the directory, session and files asked for") {
  const os::TempDir directory;
  CHECK(shell("pwd", {.working_directory = directory.path()}).output == directory.path() + "\n");
  CHECK(shell("ps -o sid= -p $$ | tr -d ' '; echo $$", {.new_session = true}).output.size() > 3);
  const auto file = os::open(directory / "out", O_WRONLY | O_CREAT | O_APPEND, 0600);
  const auto child = os::spawn({.arguments = {"/bin/sh", "-c", "echo one; echo two >&2"},
                                .standard_output = file.get(),
                                .standard_error = file.get()});
  os::reap(child.pidfd);
  CHECK(os::read_file(directory / "out") == "one\ntwo\n");
}

TEST_CASE("a program runs as the user asked for, with that user's groups") {
  const auto nobody = os::identity_of(65534);
  SKIP_UNLESS(::geteuid() == 0 && nobody, "root, who becomes others");
  CHECK(shell("id -u; id -g; id -G", {.identity = nobody}).output == "65534\n65534\n65534\n");
  const os::TempDir directory;
  const auto error =
      failure_of({.arguments = {"/bin/true"}, .working_directory = directory.path(), .identity = nobody});
  CHECK(error.code() == Code::denied);
}

TEST_CASE("a program is found in the first absolute directory that has it") {
  const os::TempDir first;
  const os::TempDir second;
  os::write_file(first / "tool", "", 0600, os::Durable::no);  // cannot be run
  CHECK(!os::find_program(first.path(), "tool"));
  os::write_file(second / "tool", "", 0700, os::Durable::no);
  const auto path = "/nowhere:" + first.path() + ":" + second.path();
  CHECK(os::find_program(path, "tool") == second / "tool");
  os::write_file(first / "tool", "", 0700, os::Durable::no);
  ::chmod((first / "tool").c_str(), 0700);
  CHECK(os::find_program(path, "tool") == first / "tool");
  CHECK(!os::find_program("", "sh"));
  CHECK(os::find_program("::/bin:", "sh") == "/bin/sh");
  for (const auto* relative : {".", "bin", ":", "../../../../../../../../bin"})
    CHECK(!os::find_program(relative, "sh"));
}
