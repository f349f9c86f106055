#include "runtime/environment/builds.hpp"

#include <doctest/doctest.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cstdlib>
#include <filesystem>
#include <thread>

#include "build_site.hpp"

namespace environment = berth::environment;
namespace os = berth::os;
namespace async = berth::async;
using namespace berth::environment::test;
using berth::Code;
using environment::Leased;
using environment::Waiting;

namespace {

// A place that the build user may reach, with a directory where his scripts may leave marks.
class Place {
 public:
  Place() {
    ::chmod(scratch.path().c_str(), 0755);
    os::make_directories(marks(), 0777);
    ::chmod(marks().c_str(), 0777);
  }
  std::string marks() const { return scratch / "marks"; }
  std::string mark(const std::string& name) const { return os::join(marks(), name); }
  environment::BuildSettings settings() const { return settings_in(scratch / "environments"); }

  os::TempDir scratch{"builds-test"};
};

// Builds for as long as the file `hold` is there.
std::string while_held(const Place& place) {
  return "echo begun >> " + place.mark("begun") + "\nwhile [ -e " + place.mark("hold") +
         " ]; do sleep 0.02; done\n";
}
void hold(const Place& place) {
  os::write_file(place.mark("hold"), "", 0644, os::Durable::no);
}
void let_go(const Place& place) {
  os::remove_file(place.mark("hold"));
}

Task<> keep(environment::Builds& builds, environment::Recipe recipe, Waiting& waiting,
            std::vector<Leased>& made) {
  auto leased = co_await builds.ensure(std::move(recipe), waiting);
  made.push_back(std::move(leased));
}

Task<> expect_cancelled(environment::Builds& builds, environment::Recipe recipe, Waiting& waiting,
                        int& cancelled) {
  try {
    co_await builds.ensure(std::move(recipe), waiting);
  } catch (const berth::Cancelled&) {
    ++cancelled;
  }
}

// Nothing of it is left but logs of failures and the tools' cache.
bool nothing_left(const environment::BuildSettings& settings, const environment::Recipe& recipe) {
  return !os::exists(os::join(settings.directory, digest_of(recipe).hex()));
}

}  // namespace

TEST_CASE("what a recipe makes is ready, belongs to the agent, and is there at once the next time") {
  const Place place;
  const auto recipe = toy("one", "echo built >> " + place.mark("built") +
                                     "\necho hello from the build\nid -u > " + place.mark("uid") + "\n");
  with_agent(place.settings(), [&](Agent& agent) -> Task<> {
    Waiting waiting;
    const auto leased = co_await agent.builds.ensure(recipe, waiting);
    const auto prefix = agent.builds.cache().prefix(digest_of(recipe));
    CHECK(leased.ready.interpreter == prefix + "/bin/python");
    CHECK(leased.ready.path_prefix == prefix + "/bin");
    REQUIRE(leased.ready.variables.size() == 1);
    CHECK(leased.ready.variables[0].first == "MARK");
    CHECK(leased.ready.digest == digest_of(recipe));
    CHECK(nlohmann::json::parse(leased.ready.lock).at("kind") == "toy");
    CHECK(nlohmann::json::parse(leased.ready.record).at("packages").at(0) == "a==1");
    REQUIRE(waiting.build());
    CHECK(os::read_file(waiting.build()->log).find("hello from the build") != std::string::npos);
    Waiting again;
    const auto second = co_await agent.builds.ensure(recipe, again);
    CHECK(second.ready.interpreter == leased.ready.interpreter);
    CHECK(!again.build());
    struct stat info {};
    REQUIRE(::lstat(second.ready.interpreter.c_str(), &info) == 0);
    CHECK(info.st_uid == ::geteuid());
    const auto entries = agent.builds.cache().list();
    REQUIRE(entries.size() == 1);
    CHECK(entries[0].words == "toy environment (one)");
    CHECK(entries[0].bytes > 0);
    CHECK(entries[0].leased);
    CHECK(entries[0].python_version == "3.11.2");
  });
  CHECK(lines_of(place.mark("built")).size() == 1);
  if (const auto user = build_user()) CHECK(lines_of(place.mark("uid")).at(0) == std::to_string(user->uid));
  // The build's own directory, where credentials may be, is gone; its log is not.
  const auto where = os::join(place.settings().directory, digest_of(recipe).hex());
  CHECK(!os::exists(where + "/work"));
  CHECK(!os::exists(where + "/build/launch.json"));
  CHECK(os::exists(where + "/build/log"));
}

TEST_CASE("ten who want the same at the same time share one build, and are told what they wait for") {
  const Place place;
  const auto recipe = toy("shared", while_held(place));
  hold(place);
  with_agent(place.settings(), [&](Agent& agent) -> Task<> {
    std::vector<Waiting> waiting(10);
    std::vector<Leased> made;
    for (auto& one : waiting) agent.jobs.spawn(keep(agent.builds, recipe, one, made));
    co_await until("all are told that it runs", [&] {
      return std::all_of(waiting.begin(), waiting.end(), [](const Waiting& one) {
        return one.build() && one.build()->running && os::exists(one.build()->log);
      });
    });
    const auto words = waiting[7].words(berth::system_clock().now() + std::chrono::seconds(40));
    CHECK(words.find("waits for the toy environment (shared) " + digest_of(recipe).brief() +
                     ", building for 4") == 0);
    CHECK(agent.builds.building().size() == 1);
    let_go(place);
    co_await until("all have it", [&] { return made.size() == 10; });
    CHECK(agent.builds.building().empty());
  });
  CHECK(lines_of(place.mark("begun")).size() == 1);
}

TEST_CASE(
    "a build that fails tells its last words, leaves nothing but its log, and is made anew the next time") {
  const Place place;
  const auto settings = place.settings();
  const auto failing =
      "echo begun >> " + place.mark("begun") + "\n[ -e " + place.mark("mended") +
      " ] || { echo working; echo 'ERROR: No matching distribution found for nosuch' >&2; exit 1; }\n";
  const auto recipe = toy("broken", failing);
  with_agent(settings, [&](Agent& agent) -> Task<> {
    Waiting waiting;
    const auto result = co_await async::attempt(agent.builds.ensure(recipe, waiting));
    REQUIRE(!result);
    CHECK(result.error().code() == Code::invalid);
    CHECK(says(result.error(),
               "building the toy environment (broken) failed: ERROR: No matching distribution"));
    CHECK(!result.error().hint().empty());
    CHECK(nothing_left(settings, recipe));
    REQUIRE(waiting.build());
    CHECK(os::read_file(waiting.build()->log).find("working\n") == 0);
    os::write_file(place.mark("mended"), "", 0644, os::Durable::no);
    Waiting again;
    const auto leased = co_await agent.builds.ensure(recipe, again);
    CHECK(os::exists(leased.ready.interpreter));
  });
  CHECK(lines_of(place.mark("begun")).size() == 2);
}

TEST_CASE("a build that does not end is stopped at its time limit, with all its processes") {
  const Place place;
  auto settings = place.settings();
  settings.time_limit = std::chrono::milliseconds(300);
  const auto recipe =
      toy("endless", "(echo $$ > " + place.mark("pid") + "; exec sleep 600) &\necho resolving\nwait\n");
  with_agent(settings, [&](Agent& agent) -> Task<> {
    const auto error = co_await failure_of(agent.builds, recipe);
    CHECK(error.code() == Code::timeout);
    CHECK(says(error, "took longer than"));
    CHECK(says(error, "resolving"));
    CHECK(nothing_left(settings, recipe));
  });
  CHECK(!alive(std::stoi(lines_of(place.mark("pid")).at(0))));
}

TEST_CASE("results that cannot be right are refused") {
  const Place place;
  const auto settings = place.settings();
  const auto with = [](const std::string& name, const std::string& script) {
    auto recipe = toy(name);
    recipe.script = script;
    return recipe;
  };
  with_agent(settings, [&](Agent& agent) -> Task<> {
    CHECK(says(co_await failure_of(agent.builds, with("none", "true")), "told no result"));
    CHECK(says(co_await failure_of(agent.builds, with("torn", "echo '{' > result.json")), "malformed"));
    CHECK(says(co_await failure_of(agent.builds, with("pipe", "mkfifo result.json")), "no plain file"));
    const auto secret = place.scratch / "secret";
    os::write_file(secret, "{\"a\": 1}", 0600, os::Durable::no);
    const auto link = co_await failure_of(agent.builds, with("link", "ln -s " + secret + " result.json"));
    CHECK(!says(link, "\"a\""));
    const auto outside = co_await failure_of(
        agent.builds, toy("outside", "PREFIX=" + place.mark("elsewhere") + "\nmkdir -p $PREFIX\n"));
    CHECK(says(outside, "is not in"));
    for (const auto* name : {"none", "torn", "pipe", "link", "outside"})
      CHECK(nothing_left(settings, toy(name)));
  });
}

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
      const auto begun = static_cast<std::size_t>(times + 1);
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

TEST_CASE(
    "an agent that is killed at any moment leaves nothing half made in use, and no directory of nobody") {
  const Place place;
  const auto settings = place.settings();
  const auto recipe = toy("crash", "sleep 0.03\n");
  const auto where = os::join(settings.directory, digest_of(recipe).hex());
  int adopted = 0;
  for (int times = 0; times < 20; ++times) {
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
    std::this_thread::sleep_for(std::chrono::milliseconds(5 + 7 * times));
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
  async::run(until("they are gone", [&] { return !berth::shim::is_supervised(of(building) + "/build"); }),
             kPatience);
  auto soft = nlohmann::json::parse(os::read_file(of(built) + "/ready.json"));
  SUBCASE("on disk") {}
  SUBCASE("not on disk") {
    soft["only_in_boot"] = os::boot_id();
    os::write_file(of(built) + "/ready.json", soft.dump(), 0644, os::Durable::no);
  }
  SUBCASE("torn") {
    os::write_file(of(built) + "/ready.json", "{", 0644, os::Durable::no);
  }
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

TEST_CASE("the tools' downloads can be dropped while nothing is built") {
  const Place place;
  const auto settings = place.settings();
  const auto recipe =
      toy("downloads", "mkdir -p $CACHE/tool\necho data > $CACHE/tool/file\n" + while_held(place));
  hold(place);
  with_agent(settings, [&](Agent& agent) -> Task<> {
    Waiting waiting;
    std::vector<Leased> made;
    agent.jobs.spawn(keep(agent.builds, recipe, waiting, made));
    co_await until("it has begun", [&] { return lines_of(place.mark("begun")).size() == 1; });
    const auto refused = co_await async::attempt(agent.builds.drop_downloads());
    REQUIRE(!refused);
    CHECK(refused.error().code() == Code::conflict);
    let_go(place);
    co_await until("it is there", [&] { return made.size() == 1; });
    CHECK(os::exists(settings.directory + "/cache/tool/file"));
    co_await agent.builds.drop_downloads();
    CHECK(!os::exists(settings.directory + "/cache/tool"));
    CHECK(os::exists(made[0].ready.interpreter));
    Waiting next;
    const auto other = co_await agent.builds.ensure(toy("after", "echo again > $CACHE/again\n"), next);
    CHECK(other.lease);
  });
}

TEST_CASE("a build runs in a control group of its own, which is gone afterwards") {
  const auto base = os::find_cgroup_base({});
  if (!base) {
    MESSAGE("skipped: needs a writable cgroup2 directory");
    return;
  }
  const Place place;
  auto settings = place.settings();
  settings.cgroup_base = *base + "/berth-test-builds-" + std::to_string(::getpid());
  const auto recipe = toy("grouped", "cat /proc/self/cgroup > " + place.mark("group") + "\n");
  with_agent(settings, [&](Agent& agent) -> Task<> {
    Waiting waiting;
    co_await agent.builds.ensure(recipe, waiting);
  });
  const auto name = "/build-" + digest_of(recipe).brief();
  CHECK(os::read_file(place.mark("group")).find(name) != std::string::npos);
  CHECK(!os::exists(settings.cgroup_base + name));
  if (const auto group = os::Cgroup::open(settings.cgroup_base)) {
    group->kill();
    async::run(until("the groups are gone", [&] { return group->remove(); }), kPatience);
  }
}

TEST_CASE("what was built belongs to the agent alone, without rights that its builder gave it") {
  if (!build_user()) {
    MESSAGE("skipped: needs root");
    return;
  }
  const Place place;
  const auto recipe =
      toy("sealed",
          "mkdir -p $PREFIX/sub\ncp /bin/true $PREFIX/sub/tool\nchmod 4755 $PREFIX/sub/tool\n"
          "echo shared > $CACHE/shared\nln $CACHE/shared $PREFIX/shared\nln -s /etc/passwd $PREFIX/link\n");
  with_agent(place.settings(), [&](Agent& agent) -> Task<> {
    Waiting waiting;
    const auto leased = co_await agent.builds.ensure(recipe, waiting);
    const auto prefix = agent.builds.cache().prefix(digest_of(recipe));
    const auto look = [&](const std::string& name) {
      struct stat info {};
      REQUIRE(::lstat((prefix + name).c_str(), &info) == 0);
      return info;
    };
    for (const auto* name : {"", "/sub", "/sub/tool", "/link"}) CHECK(look(name).st_uid == 0);
    CHECK((look("/sub/tool").st_mode & 07777) == 0755);
    CHECK(look("/shared").st_uid == build_user()->uid);  // the tools could not link it again otherwise
    const auto entries = agent.builds.cache().list();
    CHECK(entries[0].bytes >= static_cast<std::uint64_t>(look("/sub/tool").st_blocks) * 512);
  });
}

TEST_CASE("a build that nobody waits for any more is stopped, and who comes late gets one of his own") {
  const Place place;
  const auto recipe = toy("unwanted", while_held(place));
  hold(place);
  with_agent(place.settings(), [&](Agent& agent) -> Task<> {
    Waiting first;
    Waiting second;
    int cancelled = 0;
    agent.jobs.spawn(expect_cancelled(agent.builds, recipe, first, cancelled));
    agent.jobs.spawn(expect_cancelled(agent.builds, recipe, second, cancelled));
    co_await until("it has begun", [&] { return lines_of(place.mark("begun")).size() == 1; });
    first.abandon();
    co_await until("the first has left", [&] { return cancelled == 1; });
    CHECK(agent.builds.building().size() == 1);
    second.abandon();
    co_await until("the second has left", [&] { return cancelled == 2; });
    let_go(place);
    Waiting late;
    const auto leased = co_await agent.builds.ensure(recipe, late);
    CHECK(leased.lease);
  });
  CHECK(lines_of(place.mark("begun")).size() == 2);
}

TEST_CASE("no more builds run at once than allowed, and one that waits can be abandoned") {
  const Place place;
  auto settings = place.settings();
  settings.at_once = 1;
  hold(place);
  with_agent(settings, [&](Agent& agent) -> Task<> {
    std::vector<Waiting> waiting(3);
    std::vector<Leased> made;
    int cancelled = 0;
    agent.jobs.spawn(keep(agent.builds, toy("first", while_held(place)), waiting[0], made));
    co_await until("the first runs", [&] { return lines_of(place.mark("begun")).size() == 1; });
    agent.jobs.spawn(keep(agent.builds, toy("second", while_held(place)), waiting[1], made));
    agent.jobs.spawn(expect_cancelled(agent.builds, toy("third", while_held(place)), waiting[2], cancelled));
    co_await until("the others wait", [&] { return agent.builds.building().size() == 3; });
    CHECK(!waiting[1].build()->running);
    CHECK(waiting[1].words(berth::system_clock().now()).find("waits for other builds") != std::string::npos);
    waiting[2].abandon();
    co_await until("the third is gone", [&] { return agent.builds.building().size() == 2; });
    CHECK(cancelled == 1);
    CHECK(lines_of(place.mark("begun")).size() == 1);
    let_go(place);
    co_await until("both are there", [&] { return made.size() == 2; });
  });
}

TEST_CASE("an environment is not removed while it is leased, nor while it is built") {
  const Place place;
  const auto settings = place.settings();
  const auto recipe = toy("leased", while_held(place));
  const auto refused = [](Agent& agent, const berth::Digest& digest) -> Task<Code> {
    const auto result = co_await async::attempt(agent.builds.remove(digest));
    if (result) throw std::runtime_error("it was removed");
    co_return result.error().code();
  };
  hold(place);
  with_agent(settings, [&](Agent& agent) -> Task<> {
    std::vector<Leased> made;
    Waiting waiting;
    CHECK(co_await refused(agent, digest_of(recipe)) == Code::not_found);
    agent.jobs.spawn(keep(agent.builds, recipe, waiting, made));
    co_await until("it has begun", [&] { return lines_of(place.mark("begun")).size() == 1; });
    CHECK(co_await refused(agent, digest_of(recipe)) == Code::conflict);
    let_go(place);
    co_await until("it is there", [&] { return made.size() == 1; });
    CHECK(co_await refused(agent, digest_of(recipe)) == Code::conflict);
    const auto copy = made[0].lease;
    made.clear();
    CHECK(co_await refused(agent, digest_of(recipe)) == Code::conflict);
  });
  with_agent(settings, [&](Agent& agent) -> Task<> {  // the lease went with the agent
    co_await agent.builds.remove(digest_of(recipe));
    CHECK(nothing_left(settings, recipe));
    CHECK(agent.builds.cache().list().empty());
  });
}

TEST_CASE("a full disk is told as such, before a build and in the middle of one") {
  if (::geteuid() != 0) {
    MESSAGE("skipped: a small disk needs root");
    return;
  }
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
