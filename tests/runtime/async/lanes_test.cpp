#include "runtime/async/lanes.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <latch>
#include <mutex>
#include <string>
#include <vector>

#include "runtime/async/nursery.hpp"
#include "runtime/async/run.hpp"
#include "runtime/async/wait.hpp"
#include "runtime/base/error.hpp"
#include "tests/runtime/async/no_threads.hpp"

namespace berth::async {
namespace {

using namespace std::chrono_literals;

constexpr Lanes::Owner kAnn = 1;
constexpr Lanes::Owner kBob = 2;

void rethrow(std::exception_ptr failure) { std::rethrow_exception(failure); }

void until_stopped(const std::stop_token& stop) {
  while (!stop.stop_requested()) std::this_thread::sleep_for(1ms);
}

Task<> until(const std::function<bool()>& condition) {
  while (!condition()) co_await sleep_for(1ms);
}

}  // namespace

TEST_CASE("work in a lane runs on another thread, its result and its exception come back") {
  Lanes lanes({1, 2});
  run([](Lanes& all) -> Task<> {
    const auto loop = std::this_thread::get_id();
    const auto thread = co_await offload(all, kAnn, [](const std::stop_token&) { return std::this_thread::get_id(); });
    CHECK(thread != loop);
    CHECK(std::this_thread::get_id() == loop);
  }(lanes));
  auto fail = [](const std::stop_token&) -> int { throw Error(Code::no_space, "full"); };
  CHECK_THROWS_WITH_AS(run(offload(lanes, kAnn, fail)), "full", Error);
  CHECK(lanes.running() == 0);
}

TEST_CASE("an owner has no more lanes than allowed, and all owners together no more than there are threads") {
  struct Seen {
    std::atomic<int> of_ann = 0;
    std::atomic<int> all = 0;
    std::atomic<bool> too_many = false;
  } seen;
  Lanes lanes({2, 3});
  run([](Lanes& some, Seen& now) -> Task<> {
    co_await with_nursery(rethrow, [&](Nursery& nursery) -> Task<> {
      for (int i = 0; i < 60; ++i) {
        const auto owner = i % 3 == 0 ? Lanes::Owner(100 + static_cast<unsigned>(i)) : kAnn;
        nursery.spawn([&, owner]() -> Task<> {
          co_await offload(some, owner, [&](const std::stop_token&) {
            const int ann = owner == kAnn ? ++now.of_ann : 0;
            const int all = ++now.all;
            if (ann > 2 || all > 3) now.too_many = true;
            std::this_thread::sleep_for(1ms);
            --now.all;
            if (owner == kAnn) --now.of_ann;
          });
        });
      }
      co_return;
    });
  }(lanes, seen));
  CHECK_FALSE(seen.too_many);
}

TEST_CASE("who was served longest ago is next: a long queue of one owner delays another by one piece only") {
  Lanes lanes({1, 1});
  std::mutex mutex;
  std::vector<std::string> order;
  std::latch all_wait(1);
  run([](Lanes& only, std::mutex& guard, std::vector<std::string>& done, std::latch& go) -> Task<> {
    const auto note = [&](const char* name) {
      const std::lock_guard lock(guard);
      done.emplace_back(name);
    };
    co_await with_nursery(rethrow, [&](Nursery& nursery) -> Task<> {
      for (int i = 0; i < 10; ++i)
        nursery.spawn([&, i]() -> Task<> {
          co_await offload(only, kAnn, [&, i](const std::stop_token&) {
            if (i == 0) go.wait();
            note("ann");
          });
        });
      co_await until([&] { return only.running() == 1 && only.waiting() == 9; });
      nursery.spawn([&]() -> Task<> { co_await offload(only, kBob, [&](const std::stop_token&) { note("bob"); }); });
      co_await until([&] { return only.waiting() == 10; });
      go.count_down();
    });
  }(lanes, mutex, order, all_wait));
  REQUIRE(order.size() == 11);
  CHECK(std::find(order.begin(), order.end(), "bob") - order.begin() <= 2);
}

TEST_CASE("of fifty owners one has five hundred pieces of work: the others' are done as if he had one of each round") {
  constexpr int kOwners = 50;
  constexpr int kRounds = 3;
  constexpr std::size_t kThreads = 1;  // so that the order in which they begin is that in which they end
  Lanes lanes({1, kThreads});
  std::mutex mutex;
  std::vector<Lanes::Owner> order;
  std::latch all_wait(1);
  run([](Lanes& all, std::mutex& guard, std::vector<Lanes::Owner>& done, std::latch& go) -> Task<> {
    const auto piece = [&](Lanes::Owner owner) -> Task<> {
      co_await offload(all, owner, [&, owner](const std::stop_token&) {
        go.wait();
        const std::lock_guard lock(guard);
        done.push_back(owner);
      });
    };
    co_await with_nursery(rethrow, [&](Nursery& nursery) -> Task<> {
      for (int i = 0; i < 500; ++i) nursery.spawn(piece(0));
      for (Lanes::Owner owner = 1; owner < kOwners; ++owner)
        for (int round = 0; round < kRounds; ++round) nursery.spawn(piece(owner));
      co_await until([&] { return all.running() == kThreads; });
      go.count_down();
    });
  }(lanes, mutex, order, all_wait));
  REQUIRE(order.size() == 500 + (kOwners - 1) * kRounds);
  std::vector<int> served(kOwners, 0);
  for (std::size_t at = 0; at < order.size(); ++at) {
    if (order[at] == 0) continue;
    const auto round = static_cast<std::size_t>(++served[order[at]]);
    CHECK(at < round * kOwners + 2 * kThreads);
  }
}

TEST_CASE("a stop is told to work that has begun, and what waits is dropped") {
  Lanes lanes({1, 2});
  std::atomic<bool> second = false;
  run([](Lanes& some, std::atomic<bool>& ran) -> Task<> {
    Nursery nursery(co_await this_coro::executor, rethrow);
    nursery.spawn([&]() -> Task<> { co_await offload(some, kAnn, until_stopped); });
    nursery.spawn([&]() -> Task<> { co_await offload(some, kAnn, [&](const std::stop_token&) { ran = true; }); });
    co_await until([&] { return some.running() == 1 && some.waiting() == 1; });
    co_await nursery.stop_and_join();
    CHECK(some.running() == 0);
    CHECK(some.waiting() == 0);
  }(lanes, second));
  CHECK_FALSE(second);
}

TEST_CASE("somebody else may stop the work without stopping whoever waits for it") {
  Lanes lanes({1, 1});
  run([](Lanes& only) -> Task<> {
    std::stop_source stop;
    bool came_back = false;
    bool dropped = false;
    co_await with_nursery(rethrow, [&](Nursery& nursery) -> Task<> {
      nursery.spawn([&]() -> Task<> {
        co_await offload(only, kAnn, until_stopped, stop);
        came_back = true;
      });
      nursery.spawn([&]() -> Task<> {
        try {
          co_await offload(only, kBob, until_stopped, stop);
        } catch (const Cancelled&) {
          dropped = true;
        }
      });
      co_await until([&] { return only.running() == 1 && only.waiting() == 1; });
      stop.request_stop();
    });
    CHECK(came_back);
    CHECK(dropped);
    // What is stopped before it begins never begins.
    bool ran = false;
    bool cancelled = false;
    try {
      co_await offload(
          only, kAnn, [&](const std::stop_token&) { ran = true; }, stop);
    } catch (const Cancelled&) {
      cancelled = true;
    }
    CHECK(cancelled != ran);
  }(lanes));
}

TEST_CASE("where no thread can be had the work of a lane fails, and goes on with what threads there are") {
  Lanes lanes({1, 3});
  run([](Lanes& all) -> Task<> {
    {
      const NoThreads none;
      const auto code = co_await failure_code(offload(all, kAnn, [](const std::stop_token&) {}));
      CHECK(code == Code::unavailable);
      CHECK(all.waiting() == 0);
    }
    std::atomic<bool> go = false;
    std::atomic<int> done = 0;
    co_await with_nursery(rethrow, [&](Nursery& nursery) -> Task<> {
      nursery.spawn([&]() -> Task<> {
        co_await offload(all, kAnn, [&](const std::stop_token&) {
          while (!go) std::this_thread::sleep_for(1ms);
        });
      });
      co_await until([&] { return all.running() == 1; });
      const NoThreads no_more;
      for (int i = 0; i < 5; ++i)
        nursery.spawn([&]() -> Task<> { co_await offload(all, kBob, [&](const std::stop_token&) { ++done; }); });
      co_await until([&] { return all.waiting() == 5; });
      go = true;
      co_await until([&] { return done == 5; });
    });
  }(lanes));
}

}  // namespace berth::async
