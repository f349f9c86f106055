#include "agent/disk/transit.hpp"

#include <doctest/doctest.h>

#include <optional>
#include <thread>

#include "runtime/async/nursery.hpp"
#include "runtime/async/run.hpp"
#include "runtime/async/wait.hpp"

using namespace berth;
using namespace berth::disk;
using namespace std::chrono_literals;

TEST_CASE("what is on its way of a user is what his charges say, and nothing of others'") {
  async::run_to_end([]() -> async::Task<> {
    const auto executor = co_await async::this_coro::executor;
    const Transit transit(executor);
    auto first = transit.open(1);
    first.set(10);
    {
      auto second = transit.open(1);
      second.set(5);
      CHECK(first.others() == 5);
      CHECK(second.others() == 10);
      CHECK(transit.open(2).others() == 0);
      auto moved = std::move(second);
      CHECK(first.others() == 5);
      moved.set(7);
      CHECK(first.others() == 7);
    }
    CHECK(first.others() == 0);
    first = Transit::Charge();
    CHECK(transit.open(1).others() == 0);
  }());
}

TEST_CASE("who finds no room waits for his own others, and for nobody else's") {
  async::run_to_end([]() -> async::Task<> {
    const auto executor = co_await async::this_coro::executor;
    const Transit transit(executor);
    auto held = std::make_optional(transit.open(1));
    held->set(20);
    int done = 0;
    auto take = [&](uid_t user, std::uint64_t bytes) -> async::Task<> {
      const auto charge = co_await transit.wait(user, bytes, 24);
      ++done;
      co_await async::sleep_for(1ms);
    };
    auto all = [&](async::Nursery& nursery) -> async::Task<> {
      nursery.spawn(take(1, 20));
      nursery.spawn(take(1, 5));
      nursery.spawn(take(1, 100));  // more than there may be: alone
      co_await async::sleep_for(10ms);  // that nobody finds room has no other sign
      CHECK(done == 0);
      nursery.spawn(take(1, 4));
      nursery.spawn(take(2, 24));
      nursery.spawn(take(3, 100));
      while (done < 3) co_await async::sleep_for(1ms);
      co_await async::sleep_for(10ms);  // nor that no others do
      CHECK(done == 3);
      std::thread([&] { held.reset(); }).join();  // whoever gives it back
      while (done < 6) co_await async::sleep_for(1ms);
    };
    auto nobody = [](std::exception_ptr) {};
    co_await async::with_nursery(nobody, all);
    CHECK(transit.open(1).others() == 0);
  }());
}
