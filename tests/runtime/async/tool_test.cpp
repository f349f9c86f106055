#include "runtime/async/tool.hpp"

#include <doctest/doctest.h>
#include <signal.h>
#include <unistd.h>

#include "runtime/async/attempt.hpp"
#include "runtime/async/deadline.hpp"
#include "runtime/async/nursery.hpp"
#include "runtime/async/run.hpp"
#include "runtime/async/wait.hpp"
#include "runtime/base/error.hpp"
#include "runtime/os/file.hpp"
#include "tests/support/skip.hpp"

using namespace berth;
using namespace std::chrono_literals;

namespace {

os::SpawnOptions shell(const std::string& script) {
  return {.arguments = {"/bin/sh", "-c", script}, .environment = {"PATH=/usr/bin:/bin"}};
}

os::Finished run(os::SpawnOptions program, async::ToolBounds bounds = {60s}) {
  return async::run_tool_here(std::move(program), bounds);
}

Error failure_of(os::SpawnOptions program, async::ToolBounds bounds = {60s}) {
  try {
    run(std::move(program), bounds);
  } catch (const Error& error) {
    return error;
  }
  FAIL("nothing was thrown");
  return Error(Code::internal, "");
}

bool is_gone(pid_t pid) {
  return ::kill(pid, 0) != 0 ||
         os::read_file("/proc/" + std::to_string(pid) + "/stat").find(") Z") != std::string::npos;
}

// What the script wrote there, once it has.
pid_t pid_in(const std::string& file) {
  for (int i = 0; i < 1000; ++i) {
    const auto text = os::read_file_if_exists(file).value_or("");
    if (!text.empty() && text.back() == '\n') return std::stoi(text);
    ::usleep(5000);
  }
  FAIL("nothing was written");
  return 0;
}

bool goes(pid_t pid) {
  for (int i = 0; i < 1000 && !is_gone(pid); ++i) ::usleep(5000);
  return is_gone(pid);
}

}  // namespace

TEST_CASE("a tool's output, errors and exit code come back") {
  const auto finished = run(shell("echo out; echo err >&2; exit 3"));
  CHECK(finished.output == "out\n");
  CHECK(finished.errors == "err\n");
  CHECK(!finished.exit.signalled);
  CHECK(finished.exit.status == 3);
  const auto killed = run(shell("kill -9 $$"));
  CHECK(killed.exit.signalled);
  CHECK(killed.exit.status == SIGKILL);
}

TEST_CASE("what a tool writes beyond the bound is read and dropped") {
  const auto finished = run(shell("head -c 3000000 /dev/zero; echo end >&2"), {60s, 1000});
  CHECK(finished.output.size() == 1000);
  CHECK(finished.errors == "end\n");
}

TEST_CASE(
    "a tool has no more descriptors than three, no input, a session of its own and the environment that it is given") {
  const auto finished =
      run({.arguments = {"/bin/sh", "-c", "ls /proc/self/fd; cat; env; [ $$ = $(cut -d' ' -f6 /proc/$$/stat) ]"},
           .environment = {"PATH=/usr/bin:/bin", "A=1"}});
  CHECK(finished.exit.status == 0);
  CHECK(finished.output.starts_with("0\n1\n2\n3\n"));  // 3 is that of the directory
  CHECK(finished.output.find("\nA=1\n") != std::string::npos);
  CHECK(finished.output.find("HOME=") == std::string::npos);
}

TEST_CASE("why a tool cannot be started is told") {
  CHECK(failure_of({.arguments = {"/nowhere/tool"}, .environment = {}}).code() == Code::not_found);
  CHECK(failure_of({.arguments = {"/etc/passwd"}, .environment = {}}).code() == Code::denied);
}

TEST_CASE("a tool that takes too long is killed, with what it started, whatever it does with its output") {
  const os::TempDir directory;
  for (const std::string script :
       {"sleep 1000 & echo $! > $F; wait", "exec >&- 2>&-; sleep 1000 & echo $! > $F; wait", "yes & echo $! > $F; wait",
        "trap '' TERM INT; echo $$ > $F; while :; do sleep 1; done"}) {
    CAPTURE(script);
    auto program = shell(script);
    const auto file = directory / "pid";
    os::remove_file(file);
    program.environment.push_back("F=" + file);
    const auto error = failure_of(std::move(program), {1s});
    CHECK(error.code() == Code::timeout);
    CHECK(error.message() == "/bin/sh did not end within 1.0 seconds");
    CHECK(goes(pid_in(file)));
  }
}

TEST_CASE("a tool whose caller is stopped is killed before the caller goes on") {
  const os::TempDir directory;
  auto program = shell("echo $$ > $F; exec sleep 1000");
  program.environment.push_back("F=" + (directory / "pid"));
  pid_t pid = 0;
  const auto whole = [&]() -> async::Task<> {
    const auto tool = [](os::SpawnOptions what) -> async::Task<> {
      const async::ToolBounds bounds{60s};
      co_await async::run_tool(std::move(what), bounds);
    };
    const auto enough = [](const std::string& file) -> async::Task<> {
      while (os::read_file_if_exists(file).value_or("").empty()) co_await async::sleep_for(5ms);
    };
    CHECK(co_await async::run_until(tool(program), enough(directory / "pid")));
    pid = pid_in(directory / "pid");
    CHECK(is_gone(pid));
  };
  async::run(whole(), 20s);
  CHECK(pid > 0);
}

TEST_CASE("the end of a tool counts, not that of what it left running") {
  const auto start = std::chrono::steady_clock::now();
  const auto finished = run(shell("sleep 20 & echo $!"));
  CHECK(std::chrono::steady_clock::now() - start < 10s);
  REQUIRE(finished.output.size() > 1);
  ::kill(std::stoi(finished.output), SIGKILL);
}

TEST_CASE("a tool runs as the user asked for") {
  SKIP_UNLESS(::geteuid() == 0, "root");
  auto program = shell("id -u; id -g; id -G");
  program.identity = os::identity_of(65534);
  REQUIRE(program.identity);
  CHECK(run(std::move(program)).output == "65534\n65534\n65534\n");
}

TEST_CASE("many tools run at the same time on one loop") {
  const auto whole = []() -> async::Task<> {
    const auto executor = co_await async::this_coro::executor;
    int done = 0;
    async::Nursery nursery(executor, nullptr);
    const auto one = [](int number, int& count) -> async::Task<> {
      auto program = shell("sleep 0.2; echo " + std::to_string(number));
      const async::ToolBounds bounds{60s};
      const auto finished = co_await async::run_tool(std::move(program), bounds);
      CHECK(finished.output == std::to_string(number) + "\n");
      ++count;
    };
    const auto start = std::chrono::steady_clock::now();
    for (int i = 0; i < 20; ++i) nursery.spawn(one(i, done));
    co_await nursery.join();
    CHECK(done == 20);
    CHECK(std::chrono::steady_clock::now() - start < 3s);
  };
  async::run(whole(), 20s);
}
