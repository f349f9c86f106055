// Builders, agents and machines that end in the middle, disks that are full, and what is there afterwards.

#include <doctest/doctest.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/wait.h>

#include <cstdlib>
#include <filesystem>
#include <thread>

#include "held_builds.hpp"
#include "runtime/environment/builds.hpp"
#include "runtime/os/attempt_count.hpp"
#include "tests/support/skip.hpp"

namespace environment = berth::environment;
namespace os = berth::os;
namespace async = berth::async;
using namespace berth::environment::test;
using berth::Code;
using environment::Leased;
using environment::Waiting;

namespace {

// How long an agent takes from its start until it has built what was not there, and is not there afterwards.
std::chrono::steady_clock::duration time_of(const environment::BuildSettings& settings,
                                            const environment::Recipe& recipe) {
  const auto begin = std::chrono::steady_clock::now();
  auto end = begin;
  with_agent(settings, [&](Agent& agent) -> Task<> {
    {
      Waiting waiting;
      const auto leased = co_await agent.builds.ensure(recipe, waiting);
      end = std::chrono::steady_clock::now();
    }
    co_await agent.builds.remove(digest_of(recipe));
  });
  return end - begin;
}

}  // namespace

TEST_CASE("a builder that is killed costs one build and leaves nothing") {
  const Place place;
  const auto settings = place.settings();
  for (int times = 0; times < 5; ++times) {
    const auto recipe = toy("killed", while_held(place));
    hold(place);
    with_agent(settings, [&](Agent& agent) -> Task<> {
      Waiting waiting;
      std::optional<berth::Error> failure;
      agent.jobs.spawn([&]() -> Task<> { failure = co_await failure_of(agent.builds, recipe); });
      const auto begun = static_cast<std::size_t>(times) + 1;
      co_await until("it has begun", [&] { return lines_of(place.mark("begun")).size() == begun; });
      const auto launch = os::join(settings.directory, digest_of(recipe).hex() + "/build");
      const auto started = berth::shim::started_from_text(os::read_file(launch + "/started.json"));
      ::kill(times % 2 == 0 ? started.job.pid : started.shim.pid, SIGKILL);
      co_await until("it has failed", [&] { return failure.has_value(); });
      CHECK(says(*failure, times % 2 == 0 ? "was killed (SIGKILL)" : "its supervisor was killed"));
      CHECK(nothing_left(settings, recipe));
      co_await until("nothing runs", [&] { return !alive(started.job.pid); });
    });
  }
  let_go(place);
  with_agent(settings, [&](Agent& agent) -> Task<> {
    Waiting waiting;
    const auto leased = co_await agent.builds.ensure(toy("killed", while_held(place)), waiting);
    CHECK(leased.lease);
  });
}

TEST_CASE("a build outlives its agent; the next one adopts it, or finds what came of it") {
  const Place place;
  const auto settings = place.settings();
  const auto recipe = toy("adopted", while_held(place));
  const auto begin = [&] {
    hold(place);
    const auto before = lines_of(place.mark("begun")).size();
    with_agent(settings, [&](Agent& agent) -> Task<> {
      Waiting waiting;
      std::vector<Leased> made;
      agent.jobs.spawn(keep(agent.builds, recipe, waiting, made));
      co_await until("it has begun", [&] { return lines_of(place.mark("begun")).size() == before + 1; });
      co_await agent.jobs.stop_and_join();
    });
    CHECK(lines_of(place.mark("begun")).size() == before + 1);
  };
  SUBCASE("while it runs") {
    begin();
    with_agent(settings, [&](Agent& agent) -> Task<> {
      REQUIRE(agent.builds.building().size() == 1);
      CHECK(agent.builds.building()[0].words == "toy environment (adopted)");
      Waiting waiting;
      std::vector<Leased> made;
      agent.jobs.spawn(keep(agent.builds, recipe, waiting, made));
      co_await until("the caller is told", [&] { return waiting.build() && waiting.build()->running; });
      let_go(place);
      co_await until("it is built", [&] { return made.size() == 1; });
    });
    CHECK(lines_of(place.mark("begun")).size() == 1);
  }
  SUBCASE("but not for ever, where agents die of what came of it") {
    begin();
    let_go(place);
    const auto where = os::join(settings.directory, digest_of(recipe).hex());
    async::run(until("it has ended", [&] { return os::exists(where + "/build/ending.json"); }), kPatience);
    // As agents leave it that do not survive.
    for (int times = 0; times < os::kMostAttempts; ++times) CHECK(os::count_attempt(where + "/settling") == times);
    with_agent(settings, [&](Agent& agent) -> Task<> {
      co_await until("it is over", [&] { return agent.builds.building().empty(); });
      CHECK(nothing_left(settings, recipe));
      CHECK(!os::exists(where + "/ready.json"));
    });
    CHECK(lines_of(place.mark("begun")).size() == 1);
  }
  SUBCASE("when it has ended meanwhile, once more than an agent survived") {
    begin();
    let_go(place);
    const auto where = os::join(settings.directory, digest_of(recipe).hex());
    async::run(until("it has ended", [&] { return os::exists(where + "/build/ending.json"); }), kPatience);
    for (int times = 1; times < os::kMostAttempts; ++times) os::count_attempt(where + "/settling");
    with_agent(settings, [&](Agent& agent) -> Task<> {
      Waiting waiting;
      const auto leased = co_await agent.builds.ensure(recipe, waiting);
      CHECK(leased.lease);
    });
    CHECK(lines_of(place.mark("begun")).size() == 1);
    CHECK(!os::exists(where + "/settling"));
  }
  SUBCASE("when it has ended meanwhile") {
    begin();
    let_go(place);
    const auto ending = os::join(settings.directory, digest_of(recipe).hex() + "/build/ending.json");
    async::run(until("it has ended", [&] { return os::exists(ending); }), kPatience);
    with_agent(settings, [&](Agent& agent) -> Task<> {
      Waiting waiting;
      const auto leased = co_await agent.builds.ensure(recipe, waiting);
      CHECK(leased.lease);
    });
    CHECK(lines_of(place.mark("begun")).size() == 1);
  }
  SUBCASE("when it was killed meanwhile") {
    begin();
    const auto launch = os::join(settings.directory, digest_of(recipe).hex() + "/build");
    const auto earlier = std::filesystem::canonical(launch);
    const auto started = berth::shim::started_from_text(os::read_file(launch + "/started.json"));
    ::kill(started.shim.pid, SIGKILL);
    async::run(until("it is gone", [&] { return !berth::shim::is_supervised(launch); }), kPatience);
    let_go(place);
    with_agent(settings, [&](Agent& agent) -> Task<> {
      CHECK(agent.builds.building().empty());
      CHECK(nothing_left(settings, recipe));
      CHECK(!alive(started.job.pid));
      Waiting waiting;
      const auto leased = co_await agent.builds.ensure(recipe, waiting);
      CHECK(leased.lease);
      // Whoever is still on his way to the earlier launch does not come to this one.
      CHECK(std::filesystem::canonical(launch) != earlier);
      CHECK(!std::filesystem::exists(earlier));
    });
    CHECK(lines_of(place.mark("begun")).size() == 2);
  }
}

TEST_CASE("an agent that is killed at any moment leaves nothing half made in use, and no directory of nobody") {
  const Place place;
  const auto settings = place.settings();
  const auto recipe = toy("crash", "sleep 0.1\n");
  const auto where = os::join(settings.directory, digest_of(recipe).hex());
  const auto undisturbed = time_of(settings, recipe);
  constexpr int kKills = 20;
  int adopted = 0;
  for (int times = 0; times < kKills; ++times) {
    const auto agent = ::fork();
    REQUIRE(agent >= 0);
    if (agent == 0) {
      with_agent(settings, [&](Agent& doomed) -> Task<> {
        Waiting waiting;
        co_await doomed.builds.ensure(recipe, waiting);
        co_await async::sleep_for(kPatience);
      });
      ::_exit(0);
    }
    std::this_thread::sleep_for(undisturbed * times / kKills);
    REQUIRE(::kill(agent, SIGKILL) == 0);
    REQUIRE(::waitpid(agent, nullptr, 0) == agent);
    with_agent(settings, [&](Agent& next) -> Task<> {
      const auto building = next.builds.building().size();
      adopted += static_cast<int>(building);
      // Ready, going on, or nothing at all.
      CHECK(os::exists(where) == (building == 1 || os::exists(where + "/ready.json")));
      {
        Waiting waiting;
        const auto leased = co_await next.builds.ensure(recipe, waiting);
        CHECK(os::exists(leased.ready.interpreter));
      }
      co_await next.builds.remove(digest_of(recipe));
      CHECK(nothing_left(settings, recipe));
    });
  }
  MESSAGE("adopted: " << adopted);
  CHECK(adopted > 0);
}

TEST_CASE("what a power failure may have damaged is made anew; what was on disk stays") {
  const Place place;
  const auto settings = place.settings();
  const auto built = toy("built");
  const auto building = toy("building", while_held(place));
  hold(place);
  with_agent(settings, [&](Agent& agent) -> Task<> {
    Waiting waiting;
    co_await agent.builds.ensure(built, waiting);
    co_await until("it is on disk", [&] { return agent.builds.cache().not_hardened().empty(); });
    std::vector<Leased> made;
    agent.jobs.spawn(keep(agent.builds, building, waiting, made));
    co_await until("the other has begun", [&] { return lines_of(place.mark("begun")).size() == 1; });
    co_await agent.jobs.stop_and_join();
  });
  const auto of = [&](const environment::Recipe& recipe) {
    return os::join(settings.directory, digest_of(recipe).hex());
  };
  const auto started = berth::shim::started_from_text(os::read_file(of(building) + "/build/started.json"));
  ::kill(started.shim.pid, SIGKILL);
  ::kill(started.job.pid, SIGKILL);
  async::run(until("they are gone", [&] { return !berth::shim::is_supervised(of(building) + "/build"); }), kPatience);
  auto soft = nlohmann::json::parse(os::read_file(of(built) + "/ready.json"));
  SUBCASE("on disk") {}
  SUBCASE("not on disk") {
    soft["only_in_boot"] = os::boot_id();
    os::write_file(of(built) + "/ready.json", soft.dump(), 0644, os::Durable::no);
  }
  SUBCASE("torn") { os::write_file(of(built) + "/ready.json", "{", 0644, os::Durable::no); }
  const bool sound = os::read_file(of(built) + "/ready.json") != "{" && soft["only_in_boot"] == "";
  ::setenv("BERTH_BOOT_ID", "another-boot", 1);
  with_agent(settings, [&](Agent& agent) -> Task<> {
    CHECK(agent.builds.building().empty());
    CHECK(nothing_left(settings, building));
    CHECK(agent.builds.cache().list().size() == (sound ? 1 : 0));
    CHECK(os::exists(of(built)) == sound);
    Waiting waiting;
    const auto leased = co_await agent.builds.ensure(built, waiting);
    CHECK(waiting.build().has_value() == !sound);
    CHECK(leased.lease);
  });
  ::unsetenv("BERTH_BOOT_ID");
}

TEST_CASE("an environment whose interpreter is gone is built again") {
  const Place place;
  const auto recipe = toy("gone");
  with_agent(place.settings(), [&](Agent& agent) -> Task<> {
    Waiting waiting;
    std::string python;
    {
      const auto leased = co_await agent.builds.ensure(recipe, waiting);
      python = leased.ready.interpreter;
    }
    os::remove_file(python);
    Waiting again;
    const auto leased = co_await agent.builds.ensure(recipe, again);
    CHECK(again.build());
    CHECK(os::exists(python));
    os::remove_file(python);
    const auto error = co_await failure_of(agent.builds, recipe);  // while somebody runs in it
    CHECK(error.code() == Code::conflict);
    CHECK(os::exists(agent.builds.cache().list().at(0).log));
  });
}

TEST_CASE("a full disk is told as such, before a build and in the middle of one") {
  SKIP_UNLESS(::geteuid() == 0, "root, who mounts a small disk");
  const Place place;
  const auto disk = place.scratch / "disk";
  os::make_directories(disk, 0755);
  REQUIRE(::mount("tmpfs", disk.c_str(), "tmpfs", 0, "size=2m,mode=755") == 0);
  auto settings = settings_in(disk + "/environments");
  const auto recipe = toy("large", "mkdir -p $PREFIX; dd if=/dev/zero of=$PREFIX/large bs=64k count=64\n");
  with_agent(settings, [&](Agent& agent) -> Task<> {
    const auto error = co_await failure_of(agent.builds, recipe);
    CHECK(error.code() == Code::no_space);
    CHECK(says(error, "the disk is full"));
    CHECK(nothing_left(settings, recipe));
  });
  settings.least_space = berth::ByteSize(4U << 20);
  with_agent(settings, [&](Agent& agent) -> Task<> {
    const auto error = co_await failure_of(agent.builds, recipe);
    CHECK(error.code() == Code::no_space);
    CHECK(says(error, "a build begins with 4.0 MiB"));
  });
  ::umount2(disk.c_str(), MNT_DETACH);
}
