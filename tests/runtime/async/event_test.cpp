#include "runtime/async/event.hpp"

#include <doctest/doctest.h>

#include "runtime/async/nursery.hpp"
#include "runtime/async/run.hpp"
#include "runtime/base/error.hpp"

namespace berth::async {
namespace {

void rethrow(std::exception_ptr failure) { std::rethrow_exception(failure); }

}  // namespace

TEST_CASE("an event wakes everybody who waits, once") {
  int woken = 0;
  run([](int& count) -> Task<> {
    Event event;
    co_await with_nursery(rethrow, [&](Nursery& nursery) -> Task<> {
      for (int i = 0; i < 3; ++i) {
        nursery.spawn([&]() -> Task<> {
          co_await event.wait();
          ++count;
        });
      }
      nursery.spawn([&]() -> Task<> {
        event.notify_all();
        co_return;
      });
      co_return;
    });
  }(woken));
  CHECK(woken == 3);
}

TEST_CASE("an event has no memory of what happened before the wait") {
  run([]() -> Task<> {
    Event event;
    event.notify_all();
    bool woken = false;
    Nursery nursery(co_await this_coro::executor, rethrow);
    auto waiting = [&]() -> Task<> {
      co_await event.wait();
      woken = true;
    };
    nursery.spawn(waiting);
    co_await nursery.stop_and_join();
    CHECK(!woken);
  }());
}

TEST_CASE("a waiter that is stopped leaves the event") {
  run([]() -> Task<> {
    Event event;
    bool stopped = false;
    Nursery nursery(co_await this_coro::executor, rethrow);
    nursery.spawn([&]() -> Task<> {
      try {
        co_await event.wait();
      } catch (const Cancelled&) {
        stopped = true;
      }
    });
    nursery.spawn([&]() -> Task<> {
      nursery.stop();
      co_return;
    });
    co_await nursery.join();
    CHECK(stopped);
    event.notify_all();
  }());
}

TEST_CASE("a waiter that is woken and stopped at the same time is resumed once") {
  run([]() -> Task<> {
    Event event;
    int resumed = 0;
    Nursery nursery(co_await this_coro::executor, rethrow);
    nursery.spawn([&]() -> Task<> {
      co_await event.wait();
      ++resumed;
    });
    nursery.spawn([&]() -> Task<> {
      event.notify_all();
      nursery.stop();
      co_return;
    });
    co_await nursery.join();
    CHECK(resumed == 1);
  }());
}

}  // namespace berth::async
