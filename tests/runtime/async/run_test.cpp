#include "runtime/async/run.hpp"

#include <doctest/doctest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <memory>

#include "runtime/async/nursery.hpp"
#include "runtime/async/wait.hpp"
#include "runtime/base/error.hpp"

namespace berth::async {
namespace {

using namespace std::chrono_literals;

// The signal that ended a child process which ran `body`, or 0.
template <class Body>
int death_of(Body body) {
  const pid_t child = ::fork();
  if (child == 0) {
    ::signal(SIGABRT, SIG_DFL);  // not doctest's handler
    if (!std::freopen("/dev/null", "w", stderr)) ::_exit(1);
    body();
    ::_exit(0);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

}  // namespace

TEST_CASE("run returns the root task's result and rethrows its failure") {
  CHECK(run([]() -> Task<int> { co_return 3; }()) == 3);
  CHECK(run_to_end([]() -> Task<int> { co_return 4; }()) == 4);
  CHECK_THROWS_AS(run([]() -> Task<> {
                    throw Error(Code::io, "gone");
                    co_return;
                  }()),
                  Error);
}

TEST_CASE("a root task that hangs is stopped and reported") {
  try {
    run(sleep_for(1h), 5ms);
    FAIL("must throw");
  } catch (const Error& error) {
    CHECK(error.code() == Code::timeout);
  }
}

TEST_CASE("a nursery destroyed with a running child aborts the program") {
  const int number = death_of([] {
    run([]() -> Task<> {
      Nursery nursery(co_await this_coro::executor, [](std::exception_ptr) {});
      nursery.spawn(sleep_for(1h));
    }());
  });
  CHECK(number == SIGABRT);
}

TEST_CASE("a coroutine that outlives the root task aborts a test") {
  const int number = death_of([] {
    std::unique_ptr<Nursery> outliving;
    run(
        [](std::unique_ptr<Nursery>& nursery) -> Task<> {
          nursery = std::make_unique<Nursery>(co_await this_coro::executor, [](std::exception_ptr) {});
          nursery->spawn(sleep_for(1h));
        }(outliving),
        10ms);
  });
  CHECK(number == SIGABRT);
}

}  // namespace berth::async
