#include "runtime/async/cleanup.hpp"

#include <doctest/doctest.h>

#include <string>

#include "runtime/async/nursery.hpp"
#include "runtime/async/run.hpp"
#include "runtime/async/wait.hpp"
#include "runtime/base/error.hpp"

namespace berth::async {
namespace {

using namespace std::chrono_literals;

void rethrow(std::exception_ptr failure) { std::rethrow_exception(failure); }

Task<int> seven() {
  co_await sleep_for(1ms);
  co_return 7;
}

Task<> failing(std::string message) {
  co_await sleep_for(1ms);
  throw Error(Code::io, message);
}

Task<> for_ever() { co_await sleep_for(1h); }

Task<> set_after(std::chrono::milliseconds delay, bool& flag) {
  co_await sleep_for(delay);
  flag = true;
}

}  // namespace

TEST_CASE("cleanup runs after a body that succeeds, and the result stays") {
  bool cleaned = false;
  CHECK(run(with_cleanup(seven(), set_after(1ms, cleaned))) == 7);
  CHECK(cleaned);
}

TEST_CASE("cleanup runs after a body that fails, and the failure stays") {
  bool cleaned = false;
  CHECK_THROWS_WITH_AS(run(with_cleanup(failing("body"), set_after(1ms, cleaned))), "body", Error);
  CHECK(cleaned);
}

TEST_CASE("a failing cleanup is reported, and with a failing body as its context") {
  CHECK_THROWS_WITH_AS(run(with_cleanup(seven(), failing("undo"))), "undo", Error);
  try {
    run(with_cleanup(failing("body"), failing("undo")));
    FAIL("must throw");
  } catch (const Error& error) {
    CHECK(error.message() == "body");
    REQUIRE(error.context().size() == 1);
    CHECK(error.context().front() == "and then cleaning up failed: undo");
  }
}

TEST_CASE("cleanup of a stopped body runs to its end") {
  run([]() -> Task<> {
    bool cleaned = false;
    Nursery nursery(co_await this_coro::executor, rethrow);
    nursery.spawn(with_cleanup(for_ever(), set_after(3ms, cleaned)));
    co_await sleep_for(1ms);
    nursery.stop();
    co_await sleep_for(1ms);
    nursery.stop();  // the second stop must not cut the cleanup short
    co_await nursery.join();
    CHECK(cleaned);
  }());
}

TEST_CASE("a stop that arrives during the cleanup is seen afterwards") {
  run([]() -> Task<> {
    bool cleaned = false;
    bool went_on = false;
    Nursery nursery(co_await this_coro::executor, rethrow);
    nursery.spawn([&]() -> Task<> {
      const int value = co_await with_cleanup(seven(), set_after(5ms, cleaned));
      CHECK(value == 7);
      co_await sleep_for(0ms);
      went_on = true;
    });
    co_await sleep_for(3ms);
    nursery.stop();
    co_await nursery.join();
    CHECK(cleaned);
    CHECK(!went_on);
  }());
}

}  // namespace berth::async
