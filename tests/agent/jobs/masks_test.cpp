#include "agent/jobs/masks.hpp"

#include <doctest/doctest.h>

#include "runtime/async/attempt.hpp"
#include "runtime/async/nursery.hpp"
#include "runtime/async/run.hpp"
#include "tests/agent/model/ids.hpp"

using namespace berth;
using namespace berth::jobs;
using async::Task;

namespace {

constexpr uid_t kReader = 1000;

// What has the largest mask: no two spellings are alike.
Masks::Values large(int number) {
  Masks::Values values;
  for (int i = 0; i < 8; ++i) {
    std::string value = std::to_string(number * 8 + i) + ' ';
    while (value.size() < 4000)
      value += std::to_string(value.size() * 7919 % 1000 + static_cast<std::size_t>(i)) + "/\x01";
    values.push_back(std::move(value));
  }
  return values;
}

model::Principal user(uid_t uid) { return model::Principal::local_user(uid, uid, {}); }

}  // namespace

TEST_CASE("all readers of a job have one mask, which is made once and kept while there are any") {
  async::run_to_end([]() -> Task<> {
    Masks masks;
    int opened = 0;
    const std::function<Task<Masks::Values>()> open = [&]() -> Task<Masks::Values> {
      ++opened;
      co_return Masks::Values{"secret-1"};
    };
    std::vector<Masks::Kept> kept;
    auto read = [&](uid_t reader) -> Task<> { kept.push_back(co_await masks.of(7_job, user(reader), open)); };
    auto all = [&](async::Nursery& nursery) -> Task<> {
      for (uid_t reader = 0; reader < 20; ++reader) nursery.spawn(read(reader));
      co_return;
    };
    auto nobody = [](std::exception_ptr) {};
    co_await async::with_nursery(nobody, all);
    CHECK(kept.size() == 20);
    CHECK(opened == 1);
    for (const auto& mask : kept) CHECK(mask == kept.front());
    CHECK(kept.front()->apply("a secret-1.") == "a ********.");
    kept.clear();
    co_await read(kReader);
    CHECK(opened == 2);
  }());
}

TEST_CASE("what masks take of memory is bounded for each reader and in all, and given back") {
  async::run_to_end([]() -> Task<> {
    Masks masks;
    std::vector<Masks::Kept> kept;
    const auto fill = [&](uid_t reader) -> Task<std::size_t> {
      for (int i = 0;; ++i) {
        auto making = masks.make(large(i), user(reader));
        auto made = co_await async::attempt(std::move(making));
        if (!made) {
          CHECK(made.error().code() == Code::unavailable);
          co_return static_cast<std::size_t>(i);
        }
        kept.push_back(std::move(*made));
      }
    };
    const auto one = co_await fill(kReader);
    CHECK(one >= 1);
    std::size_t users = 1;
    for (;;) {
      const auto more = co_await fill(kReader + static_cast<uid_t>(users));
      if (more == 0) break;
      ++users;
    }
    std::size_t bytes = 0;
    for (const auto& mask : kept) bytes += mask->bytes();
    CHECK(users >= 3);
    CHECK(bytes <= 24U << 20);
    const auto of_root = co_await fill(0);
    CHECK(of_root >= 1);  // he gets in
    kept.clear();
    const auto again = co_await fill(kReader);
    CHECK(again == one);
  }());
}

TEST_CASE("an error that cannot be masked is told without its words") {
  async::run_to_end([]() -> Task<> {
    Masks masks;
    model::JobSecrets secrets;
    secrets.values["A"] = "secret-1";
    auto hidden = co_await masks.hide(Error(Code::io, "secret-1 failed"), secrets, kReader);
    CHECK(hidden.message() == "******** failed");
    secrets.values["B"] = std::string(model::kMostMasked, 'x');  // which an earlier version took
    hidden = co_await masks.hide(Error(Code::io, "secret-1 failed"), secrets, kReader);
    CHECK(hidden.code() == Code::io);
    CHECK(hidden.message().find("secret-1") == std::string::npos);
  }());
}
