#include "runtime/async/nursery.hpp"

#include <doctest/doctest.h>

#include <memory>
#include <string>
#include <vector>

#include "runtime/async/deadline.hpp"
#include "runtime/async/run.hpp"
#include "runtime/async/wait.hpp"
#include "runtime/base/error.hpp"

namespace berth::async {
namespace {

using namespace std::chrono_literals;

void rethrow(std::exception_ptr failure) { std::rethrow_exception(failure); }

Task<> for_ever() { co_await sleep_for(1h); }

}  // namespace

TEST_CASE("join waits for every child") {
  run([]() -> Task<> {
    int ended = 0;
    Nursery nursery(co_await this_coro::executor, rethrow);
    for (int i = 1; i <= 3; ++i) {
      nursery.spawn([&ended, i]() -> Task<> {
        co_await sleep_for(std::chrono::milliseconds(i));
        ++ended;
      });
    }
    CHECK(nursery.size() == 3);
    co_await nursery.join();
    CHECK(ended == 3);
    CHECK(nursery.size() == 0);
  }());
}

TEST_CASE("a child begins after spawn has returned") {
  run([]() -> Task<> {
    bool began = false;
    Nursery nursery(co_await this_coro::executor, rethrow);
    nursery.spawn([&]() -> Task<> {
      began = true;
      co_return;
    });
    CHECK(!began);
    co_await nursery.join();
    CHECK(began);
  }());
}

TEST_CASE("a spawned callable keeps its captures while it runs") {
  run([]() -> Task<> {
    std::string seen;
    Nursery nursery(co_await this_coro::executor, rethrow);
    {
      auto text = std::make_shared<std::string>(100, 'x');
      nursery.spawn([text, &seen]() -> Task<> {
        co_await sleep_for(1ms);
        seen = *text;
      });
    }
    co_await nursery.join();
    CHECK(seen == std::string(100, 'x'));
  }());
}

TEST_CASE("a failing child is reported and its siblings go on") {
  run([]() -> Task<> {
    std::vector<std::string> failures;
    bool sibling = false;
    Nursery nursery(co_await this_coro::executor,
                    [&](std::exception_ptr failure) { failures.push_back(error_from(failure).message()); });
    nursery.spawn([]() -> Task<> {
      co_await sleep_for(1ms);
      throw Error(Code::io, "disk gone");
    });
    nursery.spawn([]() -> Task<> {
      throw Error(Code::io, "never began");
      co_return;
    });
    nursery.spawn([&]() -> Task<> {
      co_await sleep_for(3ms);
      sibling = true;
    });
    co_await nursery.join();
    CHECK(failures == std::vector<std::string>{"never began", "disk gone"});
    CHECK(sibling);
  }());
}

TEST_CASE("stop ends every child silently, also those spawned afterwards") {
  run([]() -> Task<> {
    int failures = 0;
    bool began = false;
    Nursery nursery(co_await this_coro::executor, [&](std::exception_ptr) { ++failures; });
    nursery.spawn(for_ever());
    nursery.spawn(for_ever());
    co_await sleep_for(1ms);
    nursery.stop();
    CHECK(nursery.stopping());
    nursery.spawn([&]() -> Task<> {
      began = true;
      co_return;
    });
    co_await nursery.join();
    CHECK(!began);
    CHECK(failures == 0);
  }());
}

TEST_CASE("a child may stop its own nursery before it first waits") {
  run([]() -> Task<> {
    Nursery nursery(co_await this_coro::executor, rethrow);
    nursery.spawn([&]() -> Task<> {
      nursery.stop();
      co_return;
    });
    nursery.spawn(for_ever());
    co_await nursery.join();
  }());
}

TEST_CASE("with_nursery stops the children when the body fails") {
  run([]() -> Task<> {
    bool stopped = false;
    std::string message;
    try {
      co_await with_nursery(rethrow, [&](Nursery& nursery) -> Task<> {
        nursery.spawn([&]() -> Task<> {
          try {
            co_await for_ever();
          } catch (...) {
            stopped = true;
            throw;
          }
        });
        co_await sleep_for(1ms);
        throw Error(Code::io, "body failed");
      });
    } catch (const Error& error) {
      message = error.message();
    }
    CHECK(stopped);
    CHECK(message == "body failed");
  }());
}

TEST_CASE("a stop of the owner reaches the children and waits for their cleanup") {
  run([]() -> Task<> {
    bool cleaned = false;
    Nursery outer(co_await this_coro::executor, rethrow);
    outer.spawn([&]() -> Task<> {
      co_await with_nursery(rethrow, [&](Nursery& inner) -> Task<> {
        auto cleanup = [](bool& done) -> Task<> {
          co_await sleep_for(2ms);
          done = true;
        };
        inner.spawn(with_cleanup(for_ever(), cleanup(cleaned)));
        co_return;
      });
    });
    co_await sleep_for(1ms);
    co_await outer.stop_and_join();
    CHECK(cleaned);
  }());
}

TEST_CASE("ten thousand children come and go") {
  run([]() -> Task<> {
    int ended = 0;
    Nursery nursery(co_await this_coro::executor, rethrow);
    for (int i = 0; i < 10000; ++i) {
      nursery.spawn([&]() -> Task<> {
        ++ended;
        co_return;
      });
    }
    co_await nursery.join();
    CHECK(ended == 10000);
  }());
}

}  // namespace berth::async
