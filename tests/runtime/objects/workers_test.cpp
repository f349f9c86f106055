#include "runtime/objects/workers.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <stdexcept>

using namespace berth::objects;

TEST_CASE("parallel_for does everything once") {
  for (const unsigned workers : {1U, 3U}) {
    std::vector<std::atomic<int>> done(1000);
    parallel_for(workers, done.size(), [&](std::size_t i, unsigned worker) {
      CHECK(worker < workers);
      ++done[i];
    });
    for (const auto& count : done) CHECK(count == 1);
  }
}

TEST_CASE("parallel_for throws what a worker threw") {
  CHECK_THROWS_AS(parallel_for(3, 100,
                               [](std::size_t i, unsigned) {
                                 if (i == 50) throw std::runtime_error("x");
                               }),
                  std::runtime_error);
}

namespace {

struct Squares {
  Pipeline<int, int> pipeline;
  std::vector<int> seen;
  int following = 0;

  explicit Squares(int count) {
    pipeline.next = [this, count]() -> std::optional<int> {
      if (following == count) return std::nullopt;
      return following++;
    };
    pipeline.work = [](int i, unsigned) { return i * i; };
    pipeline.consume = [this](int square) { seen.push_back(square); };
  }
};

}  // namespace

TEST_CASE("a pipeline hands results on in order") {
  for (const unsigned workers : {1U, 2U, 4U}) {
    Squares squares(500);
    squares.pipeline.run(workers);
    REQUIRE(squares.seen.size() == 500);
    for (int i = 0; i < 500; ++i) CHECK(squares.seen[static_cast<std::size_t>(i)] == i * i);
  }
}

TEST_CASE("a pipeline without items ends") {
  Squares squares(0);
  squares.pipeline.run(3);
  CHECK(squares.seen.empty());
}

TEST_CASE("a pipeline stops at a failure in any of its parts") {
  for (const unsigned workers : {1U, 3U}) {
    for (const int part : {0, 1, 2}) {
      Squares squares(500);
      const auto next = squares.pipeline.next;
      if (part == 0)
        squares.pipeline.next = [&squares, next]() -> std::optional<int> {
          if (squares.following == 100) throw std::runtime_error("next");
          return next();
        };
      if (part == 1)
        squares.pipeline.work = [](int i, unsigned) { return i == 100 ? throw std::runtime_error("work") : i; };
      if (part == 2)
        squares.pipeline.consume = [&squares](int square) {
          if (squares.seen.size() == 100) throw std::runtime_error("consume");
          squares.seen.push_back(square);
        };
      CHECK_THROWS_AS(squares.pipeline.run(workers), std::runtime_error);
      CHECK(squares.seen.size() <= 100);
    }
  }
}
