#include "runtime/async/shares.hpp"

#include <doctest/doctest.h>

#include <algorithm>

#include "runtime/async/nursery.hpp"
#include "runtime/async/run.hpp"
#include "runtime/async/wait.hpp"

using namespace berth;
using namespace berth::async;
using namespace std::chrono_literals;

namespace {

struct Work {
  int running = 0;
  int most = 0;
  int done = 0;
};

Task<> work(Shares& shares, Shares::Owner owner, Work& work) {
  const auto share = co_await shares.take(owner);
  work.most = std::max(work.most, ++work.running);
  co_await sleep_for(2ms);
  --work.running;
  ++work.done;
}

}  // namespace

TEST_CASE("each owner's work waits for that owner's own") {
  run_to_end([]() -> Task<> {
    Shares shares(2);
    Work greedy;
    Work modest;
    auto all = [&](Nursery& nursery) -> Task<> {
      for (int i = 0; i < 50; ++i) nursery.spawn(work(shares, 1, greedy));
      co_await sleep_for(1ms);
      co_await work(shares, 2, modest);
      CHECK(greedy.done < 25);
    };
    auto nobody = [](std::exception_ptr) {};
    co_await with_nursery(nobody, all);
    CHECK(greedy.done == 50);
    CHECK(greedy.most == 2);
    CHECK(modest.done == 1);
  }());
}

TEST_CASE("who is stopped while he waits takes no share along") {
  run_to_end([]() -> Task<> {
    Shares shares(1);
    Work some;
    {
      const auto share = co_await shares.take(1);
      Nursery nursery(co_await this_coro::executor, [](std::exception_ptr) {});
      nursery.spawn(work(shares, 1, some));
      co_await sleep_for(1ms);
      co_await nursery.stop_and_join();
      CHECK(some.done == 0);
    }
    co_await work(shares, 1, some);
    CHECK(some.done == 1);
  }());
}
