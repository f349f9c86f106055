#include "agent/disk/quota.hpp"

#include <doctest/doctest.h>

#include <optional>

#include "runtime/async/attempt.hpp"
#include "runtime/async/nursery.hpp"
#include "runtime/async/run.hpp"
#include "runtime/async/wait.hpp"
#include "runtime/os/file.hpp"
#include "tests/agent/store/fixture.hpp"

using namespace berth;
using namespace std::chrono_literals;
using disk::Quota;
using disk::Transit;

namespace {

constexpr uid_t kAnn = 1000;
constexpr uid_t kBob = 1001;
constexpr std::uint64_t kMiB = 1 << 20;

// Who stores 10 MiB at most, and has 20 MiB on their way at most.
class Site {
 public:
  Site() {
    limits.storage = disk::Share{10_MiB, 0};
    limits.transit = 20_MiB;
    limits.jobs = 3;
  }
  void run(const std::function<async::Task<>(Quota&)>& body, bool bound = true) {
    const auto whole = [](Site& site, const std::function<async::Task<>(Quota&)>& act, bool binds) -> async::Task<> {
      Quota quota(co_await async::this_coro::executor, site.limits, site.database.directory.path(), binds, site.store);
      co_await act(quota);
    };
    async::run(whole(*this, body, bound), 20s);
  }
  // What somebody sent before.
  void stores(uid_t uid, ByteSize size) {
    const auto digest = store::digest_of(++sent_);
    store::remember(database.db, {store::Upload::Kind::snapshot, digest, uid, size, 1, store::at(0), size});
  }

  store::Fixture database;
  async::Pool pool;
  store::Store store{database.path, system_clock(), pool};
  disk::UserLimits limits;

 private:
  std::uint8_t sent_ = 0;
};

}  // namespace

TEST_CASE("a user stores up to the limit, which counts what is there, and others' is not his") {
  Site site;
  site.stores(kAnn, 6_MiB);
  site.stores(kBob, 10_MiB);
  site.run([&](Quota& quota) -> async::Task<> {
    co_await quota.require_storage(kAnn, 4 * kMiB);
    const auto more = co_await async::attempt(quota.require_storage(kAnn, 4 * kMiB + 1));
    REQUIRE(!more);
    CHECK(more.error().code() == Code::no_space);
    for (const auto* words : {"6.0 MiB", "4.0 MiB", "10 MiB", "storage_per_user"})
      CHECK(std::string(more.error().what()).find(words) != std::string::npos);
    const auto full = co_await async::attempt(quota.require_storage(kBob, 0));
    CHECK(!full);
    co_await quota.require_storage(0, 1ULL << 40);  // root is not bound

    auto raised = site.limits;
    raised.storage = disk::Share{11_MiB, 0};
    quota.set_limits(raised);
    co_await quota.require_storage(kAnn, 4 * kMiB + 1);
    raised.storage.reset();
    quota.set_limits(raised);
    co_await quota.require_storage(kAnn, 1ULL << 40);
  });
}

TEST_CASE("in an agent of one's own nobody is bound") {
  Site site;
  site.stores(kAnn, 60_MiB);
  site.run(
      [&](Quota& quota) -> async::Task<> {
        co_await quota.require_storage(kAnn, 1ULL << 40);
        const auto use = co_await quota.storage(kAnn);
        CHECK_FALSE(use);
        quota.require_places(kAnn, 1'000'000, 1);
        auto coming = quota.coming(kAnn);
        co_await quota.charge(kAnn, coming, 1ULL << 40);
        CHECK(coming.bytes() == 1ULL << 40);
        const auto files = co_await quota.files(kAnn, 1ULL << 40);
        CHECK(files.bytes() == 1ULL << 40);
      },
      false);
}

TEST_CASE("one thing of a user is stored at a time, and the next counts it; another user does not wait") {
  Site site;
  site.run([&](Quota& quota) -> async::Task<> {
    auto first = co_await quota.storage(kAnn);
    REQUIRE(first);
    CHECK(first->used == 0_MiB);
    const auto other = co_await quota.storage(kBob);
    CHECK(other);
    std::optional<ByteSize> seen;
    const auto next = [](Quota& of, std::optional<ByteSize>& used) -> async::Task<> {
      const auto use = co_await of.storage(kAnn);
      used = use->used;
    };
    async::Nursery nursery(co_await async::this_coro::executor, [](std::exception_ptr) { CHECK(false); });
    nursery.spawn(next(quota, seen));
    co_await async::sleep_for(20ms);  // in which nothing must happen
    CHECK_FALSE(seen);
    site.stores(kAnn, 3_MiB);
    first.reset();
    co_await nursery.join();
    CHECK(seen == 3_MiB);
  });
}

TEST_CASE("what is on its way counts as if it were stored, and is bounded by itself") {
  Site site;
  site.stores(kAnn, 2_MiB);
  site.run([&](Quota& quota) -> async::Task<> {
    auto one = quota.coming(kAnn);
    auto other = quota.coming(kAnn);
    co_await quota.charge(kAnn, one, 5 * kMiB);
    co_await quota.charge(kAnn, other, 3 * kMiB);
    const auto more = co_await async::attempt(quota.charge(kAnn, other, 3 * kMiB + 1));
    REQUIRE(!more);
    CHECK(more.error().code() == Code::no_space);
    CHECK(other.bytes() == 3 * kMiB);  // as it was
    one = Transit::Charge();
    co_await quota.charge(kAnn, other, 8 * kMiB);

    auto without_storage = site.limits;
    without_storage.storage.reset();
    quota.set_limits(without_storage);
    co_await quota.charge(kAnn, other, 15 * kMiB);
    auto third = quota.coming(kAnn);
    const auto too_much = co_await async::attempt(quota.charge(kAnn, third, 5 * kMiB + 1));
    REQUIRE(!too_much);
    CHECK(std::string(too_much.error().what()).find("on their way") != std::string::npos);
    co_await quota.charge(kAnn, third, 5 * kMiB);
    auto of_bob = quota.coming(kBob);
    co_await quota.charge(kBob, of_bob, 20 * kMiB);
  });
}

TEST_CASE("the files of a snapshot wait for room, but for what can never have any") {
  Site site;
  site.run([&](Quota& quota) -> async::Task<> {
    const auto ask = [](Quota& of, std::uint64_t bytes) -> async::Task<> { co_await of.files(kAnn, bytes); };
    const auto never = co_await async::attempt(ask(quota, 10 * kMiB + 1));
    REQUIRE(!never);
    CHECK(never.error().code() == Code::too_large);
    auto first = co_await quota.files(kAnn, 8 * kMiB);
    std::uint64_t second = 0;
    const auto next = [](Quota& of, std::uint64_t& got) -> async::Task<> {
      const auto charge = co_await of.files(kAnn, 3 * kMiB);
      got = charge.bytes();
    };
    async::Nursery nursery(co_await async::this_coro::executor, [](std::exception_ptr) { CHECK(false); });
    nursery.spawn(next(quota, second));
    co_await async::sleep_for(20ms);  // in which nothing must happen
    CHECK(second == 0);
    first = Transit::Charge();
    co_await nursery.join();
    CHECK(second == 3 * kMiB);
  });
}

TEST_CASE("a user has so many jobs at a time, and is told how many") {
  Site site;
  site.run([&](Quota& quota) -> async::Task<> {
    quota.require_places(kAnn, 2, 1);
    quota.require_places(kAnn, 0, 3);
    quota.require_places(0, 1'000, 1);
    for (const auto& [has, more] : {std::pair<std::size_t, std::size_t>{3, 1}, {0, 4}, {2, ~std::size_t{0}}}) {
      const auto code = store::code_of([&, count = has, next = more] { quota.require_places(kAnn, count, next); });
      CHECK(code == Code::too_large);
    }
    co_return;
  });
}
