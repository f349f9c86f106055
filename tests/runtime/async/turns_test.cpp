#include "runtime/async/turns.hpp"

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

Task<> work(Turns& turns, Turns::Owner owner, Work& work) {
  const auto turn = co_await turns.take(owner);
  work.most = std::max(work.most, ++work.running);
  co_await sleep_for(2ms);
  --work.running;
  ++work.done;
}

}  // namespace

TEST_CASE("each owner's work waits for that owner's own") {
  run_to_end([]() -> Task<> {
    Turns turns(2);
    Work greedy;
    Work modest;
    auto all = [&](Nursery& nursery) -> Task<> {
      for (int i = 0; i < 50; ++i) nursery.spawn(work(turns, 1, greedy));
      co_await sleep_for(1ms);
      co_await work(turns, 2, modest);
      CHECK(greedy.done < 25);
    };
    auto nobody = [](std::exception_ptr) {};
    co_await with_nursery(nobody, all);
    CHECK(greedy.done == 50);
    CHECK(greedy.most == 2);
    CHECK(modest.done == 1);
  }());
}

TEST_CASE("who is stopped while he waits takes no turn along") {
  run_to_end([]() -> Task<> {
    Turns turns(1);
    Work some;
    {
      const auto turn = co_await turns.take(1);
      Nursery nursery(co_await this_coro::executor, [](std::exception_ptr) {});
      nursery.spawn(work(turns, 1, some));
      co_await sleep_for(1ms);
      co_await nursery.stop_and_join();
      CHECK(some.done == 0);
    }
    co_await work(turns, 1, some);
    CHECK(some.done == 1);
  }());
}
