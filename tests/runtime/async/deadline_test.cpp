#include "runtime/async/deadline.hpp"

#include <doctest/doctest.h>

#include <string>

#include "runtime/async/attempt.hpp"
#include "runtime/async/event.hpp"
#include "runtime/async/nursery.hpp"
#include "runtime/async/run.hpp"
#include "runtime/async/wait.hpp"
#include "runtime/base/error.hpp"

namespace berth::async {
namespace {

using namespace std::chrono_literals;

void rethrow(std::exception_ptr failure) { std::rethrow_exception(failure); }

Task<std::string> word_after(std::chrono::milliseconds delay) {
  co_await sleep_for(delay);
  co_return "done";
}

Task<> failing() {
  co_await sleep_for(1ms);
  throw Error(Code::conflict, "busy");
}

}  // namespace

TEST_CASE("work that ends in time is not disturbed") { CHECK(run(with_deadline(1h, word_after(1ms))) == "done"); }

TEST_CASE("late work is stopped and told by name") {
  try {
    run(with_deadline(2ms, word_after(1h), "asking the engine"));
    FAIL("must throw");
  } catch (const Error& error) {
    CHECK(error.code() == Code::timeout);
    CHECK(error.message() == "asking the engine took longer than 2 ms");
  }
}

TEST_CASE("a failure before the deadline is the task's own") {
  CHECK_THROWS_WITH_AS(run(with_deadline(1h, failing())), "busy", Error);
}

TEST_CASE("a deadline waits for the cleanup of the work it stops") {
  run([]() -> Task<> {
    bool cleaned = false;
    auto cleanup = [](bool& done) -> Task<> {
      co_await sleep_for(3ms);
      done = true;
    };
    auto work = with_cleanup(sleep_for(1h), cleanup(cleaned));
    const auto result = co_await attempt(with_deadline(1ms, std::move(work)));
    CHECK(!result);
    CHECK(result.error().code() == Code::timeout);
    CHECK(cleaned);
  }());
}

TEST_CASE("a stop from outside passes through a deadline") {
  run([]() -> Task<> {
    bool stopped = false;
    Nursery nursery(co_await this_coro::executor, rethrow);
    nursery.spawn([&]() -> Task<> {
      try {
        co_await with_deadline(1h, word_after(1h));
      } catch (const Cancelled&) {
        stopped = true;
        throw;
      }
    });
    co_await sleep_for(1ms);
    co_await nursery.stop_and_join();
    CHECK(stopped);
  }());
}

TEST_CASE("run_until tells who was first") {
  CHECK(run(run_until(sleep_for(1h), sleep_for(1ms))));
  CHECK(!run(run_until(sleep_for(1ms), sleep_for(1h))));
  CHECK_THROWS_WITH_AS(run(run_until(sleep_for(1h), failing())), "busy", Error);
  CHECK_THROWS_WITH_AS(run(run_until(failing(), sleep_for(1h))), "busy", Error);
}

TEST_CASE("deadlines nest, and the nearest one is told") {
  try {
    run(with_deadline(1h, with_deadline(1ms, word_after(1h), "inner"), "outer"));
    FAIL("must throw");
  } catch (const Error& error) {
    CHECK(error.message().starts_with("inner"));
  }
}

TEST_CASE("attempt turns a failure into a value and lets a stop through") {
  const auto failure = run(attempt(failing()));
  REQUIRE(!failure);
  CHECK(failure.error().code() == Code::conflict);
  CHECK(run(attempt(word_after(0ms))).value() == "done");
  run([]() -> Task<> {
    bool stopped = false;
    Nursery nursery(co_await this_coro::executor, rethrow);
    nursery.spawn([&]() -> Task<> {
      try {
        static_cast<void>(co_await attempt(word_after(1h)));
      } catch (const Cancelled&) {
        stopped = true;
      }
    });
    co_await sleep_for(1ms);
    co_await nursery.stop_and_join();
    CHECK(stopped);
  }());
}

}  // namespace berth::async
