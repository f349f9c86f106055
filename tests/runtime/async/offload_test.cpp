#include "runtime/async/offload.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <memory>
#include <string>

#include "runtime/async/nursery.hpp"
#include "runtime/async/run.hpp"
#include "runtime/async/wait.hpp"
#include "runtime/base/error.hpp"
#include "tests/runtime/async/no_threads.hpp"

namespace berth::async {
namespace {

using namespace std::chrono_literals;

void rethrow(std::exception_ptr failure) { std::rethrow_exception(failure); }

}  // namespace

TEST_CASE("offloaded work runs on another thread and its result comes back to the loop") {
  Pool pool;
  CHECK(pool.threads() == 0);
  run([](Pool& workers) -> Task<> {
    const auto loop = std::this_thread::get_id();
    const auto worker = co_await offload(workers, [] { return std::this_thread::get_id(); });
    CHECK(worker != loop);
    CHECK(std::this_thread::get_id() == loop);
    const auto owned = co_await offload(workers, [] { return std::make_unique<std::string>("moved"); });
    CHECK(*owned == "moved");
    co_await offload(workers, [] {});
  }(pool));
  CHECK(pool.threads() == 1);
}

TEST_CASE("an exception of offloaded work is thrown on the loop") {
  Pool pool;
  auto fail = []() -> int { throw Error(Code::no_space, "full"); };
  CHECK_THROWS_WITH_AS(run(offload(pool, fail)), "full", Error);
}

TEST_CASE("no more threads than allowed, however much is queued") {
  Pool pool(2);
  std::atomic<int> running = 0;
  std::atomic<int> most = 0;
  int ended = 0;
  run([](Pool& workers, std::atomic<int>& now, std::atomic<int>& peak, int& done) -> Task<> {
    co_await with_nursery(rethrow, [&](Nursery& nursery) -> Task<> {
      for (int i = 0; i < 50; ++i) {
        nursery.spawn([&]() -> Task<> {
          co_await offload(workers, [&] {
            const int count = ++now;
            if (count > peak) peak = count;
            std::this_thread::sleep_for(1ms);
            --now;
          });
          ++done;
        });
      }
      co_return;
    });
  }(pool, running, most, ended));
  CHECK(ended == 50);
  CHECK(most <= 2);
  CHECK(pool.threads() == 2);
}

TEST_CASE("a stop waits for work that has begun and drops what is queued") {
  Pool pool(1);
  std::atomic<int> finished = 0;
  run([](Pool& workers, std::atomic<int>& count) -> Task<> {
    std::atomic<bool> began = false;
    Nursery nursery(co_await this_coro::executor, rethrow);
    for (int i = 0; i < 3; ++i) {
      nursery.spawn([&]() -> Task<> {
        co_await offload(workers, [&] {
          began = true;
          std::this_thread::sleep_for(10ms);
          ++count;
        });
      });
    }
    while (!began) co_await sleep_for(1ms);
    co_await nursery.stop_and_join();
    CHECK(count == 1);
  }(pool, finished));
  CHECK(finished == 1);
}

TEST_CASE("where no thread can be had the work fails, and goes on with what threads there are") {
  Pool pool(2);
  run([](Pool& workers) -> Task<> {
    {
      const NoThreads none;
      const auto code = co_await failure_code(offload(workers, [] {}));
      CHECK(code == Code::unavailable);
      CHECK(workers.threads() == 0);
    }
    co_await offload(workers, [] {});
    const NoThreads no_more;
    std::atomic<int> done = 0;
    co_await with_nursery(rethrow, [&](Nursery& nursery) -> Task<> {
      for (int i = 0; i < 5; ++i) nursery.spawn([&]() -> Task<> { co_await offload(workers, [&] { ++done; }); });
      co_return;
    });
    CHECK(done == 5);
    CHECK(workers.threads() == 1);
  }(pool));
}

}  // namespace berth::async
