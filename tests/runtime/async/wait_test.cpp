#include "runtime/async/wait.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <unistd.h>

#include <fstream>
#include <string>

#include "runtime/async/deadline.hpp"
#include "runtime/async/nursery.hpp"
#include "runtime/async/run.hpp"
#include "runtime/os/fd.hpp"

namespace berth::async {
namespace {

using namespace std::chrono_literals;

void rethrow(std::exception_ptr failure) { std::rethrow_exception(failure); }

// How often this thread went to sleep so far.
long voluntary_switches() {
  std::ifstream status("/proc/thread-self/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with("voluntary_ctxt_switches:")) return std::stol(line.substr(line.find(':') + 1));
  return -1;
}

}  // namespace

TEST_CASE("readable waits for the descriptor and neither closes nor changes it") {
  run([]() -> Task<> {
    const auto pipe = os::make_pipe();
    Nursery nursery(co_await this_coro::executor, rethrow);
    nursery.spawn([&]() -> Task<> {
      co_await sleep_for(1ms);
      os::write_all(pipe.write, "x");
    });
    co_await readable(pipe.read.get());
    co_await readable(pipe.read.get());  // still readable: the state counts, not the change
    char byte = 0;
    CHECK(os::read_some(pipe.read, std::span(&byte, 1)) == 1);
    CHECK((::fcntl(pipe.read.get(), F_GETFL) & O_NONBLOCK) == 0);
    co_await nursery.join();
  }());
}

TEST_CASE("readable returns when the other side closes") {
  run([]() -> Task<> {
    auto pipe = os::make_pipe();
    pipe.write.reset();
    co_await readable(pipe.read.get());
  }());
}

TEST_CASE("waiting for a descriptor can be stopped") {
  run([]() -> Task<> {
    const auto pipe = os::make_pipe();
    const bool stopped = co_await run_until(readable(pipe.read.get()), sleep_for(1ms));
    CHECK(stopped);
  }());
}

TEST_CASE("waiting costs no wake-ups") {
  run([]() -> Task<> {
    const auto pipe = os::make_pipe();
    const auto before = voluntary_switches();
    CHECK(co_await run_until(readable(pipe.read.get()), sleep_for(300ms)));
    CHECK(voluntary_switches() - before <= 2);  // into the wait, and the timer's end
  }());
}

TEST_CASE("back-off doubles up to its bound and starts again after a success") {
  Backoff backoff(100ms, 1s);
  for (const auto whole : {100ms, 200ms, 400ms, 800ms, 1000ms, 1000ms}) {
    const auto delay = backoff.next();
    CHECK(delay <= whole);
    CHECK(delay >= whole / 2);
  }
  backoff.reset();
  CHECK(backoff.next() <= 100ms);
}

}  // namespace berth::async
