#include "agent/jobs/turns.hpp"

#include <doctest/doctest.h>

#include <functional>
#include <string>

#include "runtime/async/nursery.hpp"
#include "runtime/async/run.hpp"
#include "runtime/async/wait.hpp"

using namespace berth;
using namespace berth::jobs;
using async::Task;

namespace {

void rethrow(std::exception_ptr failure) { std::rethrow_exception(failure); }

// Whoever has a turn keeps it until the round is over; tells who had one in which round.
struct Rounds {
  Turns turns{2};
  async::Event over;
  std::string log;

  Task<> work(uid_t uid) {
    const auto turn = co_await turns.take(uid);
    log += "abc"[uid];
    co_await over.wait();
  }
  static Task<> settle() {
    for (int i = 0; i < 20; ++i) co_await async::sleep_for(std::chrono::milliseconds(0));
  }
  Task<> next() {
    log += '|';
    over.notify_all();
    co_await settle();
  }
};

void with(const std::function<Task<>(Rounds&, async::Nursery&)>& body) {
  async::run([](const std::function<Task<>(Rounds&, async::Nursery&)> act) -> Task<> {
    Rounds rounds;
    auto inside = [&](async::Nursery& nursery) { return act(rounds, nursery); };
    co_await async::with_nursery(rethrow, inside);
    CHECK(rounds.turns.taken() == 0);
  }(body));
}

}  // namespace

TEST_CASE("one user alone has all turns, in the order of asking") {
  with([](Rounds& rounds, async::Nursery& nursery) -> Task<> {
    for (int i = 0; i < 4; ++i) nursery.spawn(rounds.work(0));
    co_await Rounds::settle();
    CHECK(rounds.log == "aa");
    co_await rounds.next();
    CHECK(rounds.log == "aa|aa");
    co_await rounds.next();
  });
}

TEST_CASE("users take turns, whoever has asked for more, and one who has none waits for no single other") {
  with([](Rounds& rounds, async::Nursery& nursery) -> Task<> {
    for (int i = 0; i < 6; ++i) nursery.spawn(rounds.work(0));
    co_await Rounds::settle();
    for (int i = 0; i < 2; ++i) nursery.spawn(rounds.work(1));
    nursery.spawn(rounds.work(2));
    co_await Rounds::settle();
    CHECK(rounds.log == "aab");  // one more, since the other has both
    co_await rounds.next();
    CHECK(rounds.log == "aab|ca");
    co_await rounds.next();
    CHECK(rounds.log == "aab|ca|ba");
    co_await rounds.next();
    co_await rounds.next();
    CHECK(rounds.log == "aab|ca|ba|aa|");
  });
}

TEST_CASE("who is stopped in line leaves it, and who has a turn gives it back") {
  with([](Rounds& rounds, async::Nursery& nursery) -> Task<> {
    co_await async::with_nursery(rethrow, [&](async::Nursery& stopped) -> Task<> {
      for (int i = 0; i < 3; ++i) stopped.spawn(rounds.work(0));
      co_await Rounds::settle();
      CHECK(rounds.turns.taken() == 2);
      co_await stopped.stop_and_join();
    });
    CHECK(rounds.turns.taken() == 0);
    nursery.spawn(rounds.work(1));
    co_await Rounds::settle();
    CHECK(rounds.log == "aab");
    co_await rounds.next();
  });
}
