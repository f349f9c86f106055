#include "agent/disk/caches.hpp"

#include <doctest/doctest.h>
#include <unistd.h>

#include <functional>

#include "runtime/async/cleanup.hpp"
#include "runtime/async/run.hpp"
#include "runtime/async/watcher.hpp"
#include "runtime/objects/sha256.hpp"
#include "runtime/os/file.hpp"
#include "runtime/os/identity.hpp"
#include "tests/support/tick.hpp"

namespace async = berth::async;
namespace environment = berth::environment;
namespace disk = berth::disk;
namespace os = berth::os;
using async::Task;

namespace {

constexpr uid_t kGone = 1'900'200'001;
constexpr uid_t kUser = 1;  // every machine has these
constexpr uid_t kOther = 2;
const auto kBuild = berth::objects::sha256("a build");

std::string cache_of(const os::TempDir& place, uid_t uid) { return place / "cache/" + std::to_string(uid); }

// In the order in which they were used.
void put_caches(const os::TempDir& place, environment::Builds& builds, std::initializer_list<uid_t> owners) {
  for (const auto uid : owners) {
    os::make_directories(cache_of(place, uid), 0700);
    os::write_file(cache_of(place, uid) + "/file", std::string(100'000, 'x'), 0600, os::Durable::no);
    berth::test::wait_for_tick();
    builds.downloads().begin(kBuild, uid);
    builds.downloads().end(kBuild);
  }
}

void with_builds(const os::TempDir& place, const std::function<Task<>(environment::Builds&)>& body) {
  const auto whole = [](const os::TempDir& where, const std::function<Task<>(environment::Builds&)>& act) -> Task<> {
    const auto executor = co_await async::this_coro::executor;
    environment::BuildSettings settings;
    settings.directory = where.path();
    settings.users.emplace();
    async::Watcher watcher(executor, nullptr);
    environment::Builds builds(executor, watcher, settings);
    const auto work = [](environment::Builds& of, const std::function<Task<>(environment::Builds&)>& run) -> Task<> {
      co_await of.recover();
      co_await run(of);
    };
    const auto end = [](environment::Builds& of, async::Watcher& watching) -> Task<> {
      co_await of.stop();
      co_await watching.stop();
    };
    co_await async::with_cleanup(work(builds, act), end(builds, watcher));
  };
  async::run(whole(place, body), std::chrono::seconds(60));
}

std::vector<std::string> whats(std::vector<disk::Candidate> candidates) {
  disk::put_in_order(candidates);
  std::vector<std::string> names;
  for (const auto& one : candidates) names.push_back(one.what);
  return names;
}

}  // namespace

TEST_CASE("downloads of builds go user after user, the least recently used first, and not while a build uses them") {
  const os::TempDir place;
  with_builds(place, [&](environment::Builds& builds) -> Task<> {
    put_caches(place, builds, {kOther, kUser, 0});
    os::make_directories(cache_of(place, 3), 0700);  // nothing in it
    const auto kind = disk::downloads_of_builds(builds);
    disk::SurveyContext context;
    builds.downloads().begin(kBuild, 0);
    const auto found = kind->survey(context);
    const std::vector<std::string> expected{"downloads of " + os::user_name(kOther),
                                            "downloads of " + os::user_name(kUser)};
    CHECK(whats(found.candidates) == expected);
    for (const auto& one : found.candidates) {
      CHECK(one.bytes >= 100'000);
      CHECK(one.replaceable);
      CHECK(!one.due);
    }
    REQUIRE(found.staying.size() == 1);
    CHECK(found.staying[0].count == 1);
    CHECK(found.staying[0].bytes >= 100'000);
    builds.downloads().begin(kBuild, kUser);  // after the survey, a build of that user begins
    std::vector<std::int64_t> numbers;
    for (const auto& one : found.candidates) numbers.push_back(one.number);
    const auto done = co_await kind->remove(numbers, "");
    CHECK(done.size() == 1);
    CHECK(!os::exists(cache_of(place, kOther)));
    CHECK(os::exists(cache_of(place, kUser) + "/file"));
    CHECK(os::exists(cache_of(place, 0) + "/file"));
  });
}

TEST_CASE("downloads are due when a person asks, and when their user's account is gone, however little they take") {
  const os::TempDir place;
  with_builds(place, [&](environment::Builds& builds) -> Task<> {
    put_caches(place, builds, {kUser});
    os::make_directories(cache_of(place, kGone), 0700);
    const auto kind = disk::downloads_of_builds(builds);
    disk::SurveyContext context;
    auto found = kind->survey(context);
    REQUIRE(found.candidates.size() == 2);
    for (const auto& one : found.candidates) CHECK(one.due == (one.what == "downloads of " + std::to_string(kGone)));
    context.asked = true;
    found = kind->survey(context);
    std::vector<std::int64_t> numbers;
    for (const auto& one : found.candidates) {
      CHECK(one.due);
      numbers.push_back(one.number);
    }
    const auto done = co_await kind->remove(numbers, "");
    CHECK(done.size() == 2);
    CHECK(!os::exists(cache_of(place, kGone)));
    CHECK(builds.downloads().bytes() == 0);
    CHECK(kind->survey(context).candidates.empty());
  });
}
