#include "agent/disk/manager.hpp"

#include <doctest/doctest.h>

#include "runtime/async/cleanup.hpp"
#include "runtime/async/run.hpp"
#include "runtime/async/wait.hpp"
#include "runtime/os/file.hpp"
#include "tests/agent/store/fixture.hpp"
#include "tests/fakes/reclaimable.hpp"

using namespace berth;
using namespace std::chrono_literals;

namespace {

constexpr std::uint64_t kMiB = 1 << 20;

// A manager of things that are none, over a real database.
class Site {
 public:
  explicit Site(ByteSize budget) {
    limits.budget = disk::Share{budget, 0};
    limits.high = 100;
    limits.low = 100;
    auto cheap = std::make_unique<fakes::Reclaimable>("checkouts");
    auto dear = std::make_unique<fakes::Reclaimable>("environments");
    checkouts = cheap.get();
    environments = dear.get();
    auto written = std::make_unique<fakes::Reclaimable>("logs");
    logs = written.get();
    logs->counted_elsewhere = true;
    kinds.push_back(std::move(cheap));
    kinds.push_back(std::move(dear));
    kinds.push_back(std::move(written));
  }

  void run(const std::function<async::Task<>(disk::Manager&)>& body) {
    const auto whole = [](Site& site, const std::function<async::Task<>(disk::Manager&)>& act) -> async::Task<> {
      disk::Manager::Disk disk{
          site.database.directory.path(), site.store, site.objects, site.files, site.reserve, {}, {}};
      disk.kinds = std::move(site.kinds);
      disk.image_disk = [&site] { return site.images; };
      disk::Manager manager(co_await async::this_coro::executor, site.limits, std::move(disk), system_clock(), Log());
      co_await async::with_cleanup(act(manager), manager.stop());
    };
    async::run(whole(*this, body), 30s);
  }

  store::Fixture database;
  async::Pool pool;
  store::Store store{database.path, system_clock(), pool};
  objects::Store objects{database.directory / "objects"};
  disk::Reserve reserve{database.directory / "reserve", ByteSize(kMiB)};
  disk::Limits limits;
  disk::ImageDisk images;
  fakes::JobFiles files;
  std::vector<std::unique_ptr<disk::Reclaimable>> kinds;
  fakes::Reclaimable* checkouts;
  fakes::Reclaimable* environments;
  fakes::Reclaimable* logs;
};

async::Task<> until(const std::function<bool()>& condition) {
  while (!condition()) co_await async::sleep_for(5ms);
}

}  // namespace

TEST_CASE("what is over the budget goes, kind after kind, the longest unused first, until a tenth of it is free") {
  Site site(ByteSize(100 * kMiB));
  site.checkouts->things = {{1, 30 * kMiB}, {2, 20 * kMiB}};
  site.environments->things = {{1, 40 * kMiB}, {2, 40 * kMiB}};
  site.run([&](disk::Manager& manager) -> async::Task<> {
    CHECK(manager.use().checkouts == 50 * kMiB);
    CHECK(manager.use().environments == 80 * kMiB);
    co_await manager.make_room();
    CHECK(site.checkouts->removed == std::vector<std::int64_t>{1, 2});
    CHECK(site.environments->removed.empty());
    CHECK(site.checkouts->why.find("disk_budget is 100 MiB") != std::string::npos);
    co_await manager.make_room(ByteSize(30 * kMiB));
    CHECK(site.environments->removed == std::vector<std::int64_t>{1});
  });
}

TEST_CASE("a job's end is looked at, and what it wrote counts") {
  Site site(ByteSize(10 * kMiB));
  site.checkouts->things = {{1, 6 * kMiB}};
  site.run([&](disk::Manager& manager) -> async::Task<> {
    site.logs->things = {{1, 2 * kMiB}};
    manager.job_ended(2 * kMiB);
    CHECK(manager.use().logs == 2 * kMiB);
    CHECK(site.checkouts->surveys == 0);
    site.logs->things[2] = 3 * kMiB;
    manager.job_ended(3 * kMiB);
    co_await until([&] { return !site.checkouts->removed.empty(); });
    CHECK(site.logs->removed.empty());
    CHECK(manager.use().logs == 5 * kMiB);
  });
}

TEST_CASE("where not enough can be given back, new work is refused in words, and nobody looks again at once") {
  Site site(ByteSize(100 * kMiB));
  site.checkouts->things = {{1, 90 * kMiB}};
  site.checkouts->needed = {1};
  site.run([&](disk::Manager& manager) -> async::Task<> {
    for (int i = 0; i < 3; ++i) {
      std::optional<Error> refusal;
      try {
        co_await manager.make_room(ByteSize(20 * kMiB));
      } catch (const Error& error) {
        refusal = error;
      }
      REQUIRE(refusal);
      CHECK(refusal->code() == Code::no_space);
      CHECK(refusal->message().find("20 MiB are to come, and disk_budget is 100 MiB") != std::string::npos);
      CHECK(refusal->hint().find("berth gc") != std::string::npos);
    }
    CHECK(site.checkouts->surveys == 1);
    CHECK(!manager.use().refusal);  // of what needs no room
  });
}

TEST_CASE("what came to be needed meanwhile stays, and is not told as gone; a dry run takes nothing") {
  Site site(ByteSize(100 * kMiB));
  site.checkouts->things = {{1, kMiB}, {2, 2 * kMiB}, {3, 3 * kMiB}};
  site.checkouts->needed = {2};
  site.run([&](disk::Manager& manager) -> async::Task<> {
    disk::Cleaning wanted{.dry_run = true, .asked = true, .free = {}, .incoming = {}};
    auto report = co_await manager.clean(wanted);
    CHECK(report.bytes == 6 * kMiB);
    CHECK(site.checkouts->removed.empty());
    wanted.dry_run = false;
    report = co_await manager.clean(wanted);
    CHECK(report.bytes == 4 * kMiB);
    CHECK(report.items.size() == 2);
    CHECK(site.checkouts->removed == std::vector<std::int64_t>{1, 3});
  });
}

TEST_CASE("on a full disk the reserve makes the room that the record of a removal needs") {
  Site site(ByteSize(100 * kMiB));
  site.checkouts->things = {{1, kMiB}};
  site.checkouts->full_disks = 1;
  site.run([&](disk::Manager& manager) -> async::Task<> {
    site.reserve.restore();
    REQUIRE(os::exists(site.database.directory / "reserve"));
    disk::Cleaning wanted{.dry_run = false, .asked = true, .free = {}, .incoming = {}};
    co_await manager.clean(wanted);
    CHECK(site.checkouts->removed == std::vector<std::int64_t>{1});
    CHECK(os::exists(site.database.directory / "reserve"));  // taken up again
  });
}

TEST_CASE("what a job left and cannot be removed now keeps no other, and is tried again until it is gone") {
  Site site(ByteSize(100 * kMiB));
  const auto first = site.database.add_final(1);
  const auto second = site.database.add_final(2);
  store::remove_logs(site.database.db, {first, second}, {store::at(100), "asked for"});
  site.files.stuck = 1;
  site.run([&](disk::Manager& manager) -> async::Task<> {
    REQUIRE(site.store.doomed().size() == 2);
    manager.start();
    co_await until([&] { return site.store.doomed().size() == 1; });
    CHECK(site.files.removed.size() == 1);
    co_await until([&] { return site.store.doomed().empty(); });
    CHECK(site.files.removed.size() == 2);
    CHECK(site.files.removed[0] != site.files.removed[1]);
  });
}

TEST_CASE("a container engine's full disk is a reason of its own") {
  Site site(ByteSize(100 * kMiB));
  site.images = {"/var/lib/docker", false, {5 * kMiB, 1000 * kMiB, 10 * kMiB, 0}};
  site.limits.high = 90;
  site.limits.low = 80;
  site.checkouts->things = {{1, kMiB}};
  site.run([&](disk::Manager& manager) -> async::Task<> {
    disk::Cleaning wanted;
    const auto report = co_await manager.clean(wanted);
    REQUIRE(!report.remarks.empty());
    CHECK(report.remarks.front().find("/var/lib/docker") != std::string::npos);
    CHECK(manager.use().images.state.free == 5 * kMiB);
    CHECK(site.checkouts->removed.empty());  // nothing here helps there
  });
}
