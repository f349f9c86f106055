#include "runtime/environment/builds.hpp"

#include <doctest/doctest.h>
#include <sys/stat.h>

#include <filesystem>

#include "held_builds.hpp"
#include "tests/support/skip.hpp"

namespace environment = berth::environment;
namespace os = berth::os;
namespace async = berth::async;
using namespace berth::environment::test;
using berth::Code;
using environment::Leased;
using environment::Waiting;

namespace {

Task<> expect_cancelled(environment::Builds& builds, environment::Recipe recipe, Waiting& waiting, int& cancelled) {
  try {
    co_await builds.ensure(std::move(recipe), waiting);
  } catch (const berth::Cancelled&) {
    ++cancelled;
  }
}

}  // namespace

TEST_CASE("what a recipe makes is ready, belongs to the agent, and is there at once the next time") {
  const Place place;
  const auto recipe = toy("one", "echo built >> " + place.mark("built") + "\necho hello from the build\nid -u > " +
                                     place.mark("uid") + "\n");
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
    const auto words = waiting[7].description(waiting[7].build()->since + std::chrono::seconds(40));
    CHECK(words.find("waits for the toy environment (shared) " + digest_of(recipe).brief() +
                     ", building for 40.0 seconds") == 0);
    CHECK(agent.builds.building().size() == 1);
    let_go(place);
    co_await until("all have it", [&] { return made.size() == 10; });
    CHECK(agent.builds.building().empty());
  });
  CHECK(lines_of(place.mark("begun")).size() == 1);
}

TEST_CASE("a build that fails tells its last words, leaves nothing but its log, and is made anew the next time") {
  const Place place;
  const auto settings = place.settings();
  const auto failing = "echo begun >> " + place.mark("begun") + "\n[ -e " + place.mark("mended") +
                       " ] || { echo working; echo 'ERROR: No matching distribution found for nosuch' >&2; exit 1; }\n";
  const auto recipe = toy("broken", failing);
  with_agent(settings, [&](Agent& agent) -> Task<> {
    Waiting waiting;
    const auto result = co_await async::attempt(agent.builds.ensure(recipe, waiting));
    REQUIRE(!result);
    CHECK(result.error().code() == Code::invalid);
    CHECK(says(result.error(), "building the toy environment (broken) failed: ERROR: No matching distribution"));
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
  settings.time_limit = std::chrono::seconds(3);  // it has begun by then
  const auto recipe = toy("endless", "(echo $$ > " + place.mark("pid") + "; exec sleep 600) &\necho resolving\nwait\n");
  with_agent(settings, [&](Agent& agent) -> Task<> {
    const auto error = co_await failure_of(agent.builds, recipe);
    CHECK(error.code() == Code::timeout);
    CHECK(says(error, "took longer than"));
    CHECK(says(error, "resolving"));
    CHECK(nothing_left(settings, recipe));
  });
  const auto pid = std::stoi(lines_of(place.mark("pid")).at(0));
  async::run(until("its processes have ended", [&] { return !alive(pid); }), kPatience);
  CHECK(!alive(pid));
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
    const auto outside =
        co_await failure_of(agent.builds, toy("outside", "PREFIX=" + place.mark("elsewhere") + "\nmkdir -p $PREFIX\n"));
    CHECK(says(outside, "is not in"));
    for (const auto* name : {"none", "torn", "pipe", "link", "outside"}) CHECK(nothing_left(settings, toy(name)));
  });
}

TEST_CASE("the tools' downloads are counted, and can be dropped while nothing is built") {
  const Place place;
  const auto settings = place.settings();
  const auto recipe = toy("downloads", "mkdir -p $CACHE/tool\necho data > $CACHE/tool/file\n" + while_held(place));
  hold(place);
  with_agent(settings, [&](Agent& agent) -> Task<> {
    Waiting waiting;
    std::vector<Leased> made;
    agent.jobs.spawn(keep(agent.builds, recipe, waiting, made));
    co_await until("it has begun", [&] { return lines_of(place.mark("begun")).size() == 1; });
    const auto refused = co_await async::attempt(agent.builds.drop_downloads(std::nullopt));
    REQUIRE(!refused);
    CHECK(refused.error().code() == Code::conflict);
    let_go(place);
    co_await until("it is there", [&] { return made.size() == 1; });
    CHECK(os::exists(settings.directory + "/cache/tool/file"));
    co_await until("they are counted", [&] { return agent.builds.downloads().bytes() > 0; });
    co_await agent.builds.drop_downloads(std::nullopt);
    CHECK(agent.builds.downloads().bytes() == 0);
    CHECK(std::filesystem::is_empty(settings.directory + "/cache"));
    CHECK(os::exists(made[0].ready.interpreter));
    Waiting next;
    const auto other = co_await agent.builds.ensure(toy("after", "echo again > $CACHE/again\n"), next);
    CHECK(other.lease);
  });
}

TEST_CASE("a build runs in a control group of its own, which is gone afterwards") {
  const auto base = os::find_cgroup_base({});
  SKIP_UNLESS(base, "a writable cgroup2 directory");
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
  SKIP_UNLESS(build_user(), "root");
  const Place place;
  const auto recipe =
      toy("sealed",
          "mkdir -p $PREFIX/sub\ncp /bin/true $PREFIX/sub/tool\nchmod 4755 $PREFIX/sub/tool\n"
          "echo shared > $CACHE/shared\nln $CACHE/shared $PREFIX/shared\nln -s /etc/passwd $PREFIX/link\n"
          "mkdir $PREFIX/open\nchmod 7777 $PREFIX/open\nmkfifo $PREFIX/pipe\n"
          "echo one > $PREFIX/one\nln $PREFIX/one $PREFIX/two\n");
  with_agent(place.settings(), [&](Agent& agent) -> Task<> {
    Waiting waiting;
    const auto leased = co_await agent.builds.ensure(recipe, waiting);
    const auto prefix = agent.builds.cache().prefix(digest_of(recipe));
    const auto look = [&](const std::string& name) {
      struct stat info {};
      REQUIRE(::lstat((prefix + name).c_str(), &info) == 0);
      return info;
    };
    for (const auto* name : {"", "/sub", "/sub/tool", "/link", "/shared", "/open"}) CHECK(look(name).st_uid == 0);
    CHECK((look("/sub/tool").st_mode & 07777) == 0755);
    CHECK((look("/open").st_mode & 07777) == 0755);
    CHECK(look("/shared").st_nlink == 1);
    CHECK(os::read_file(prefix + "/shared") == "shared\n");
    CHECK(look("/one").st_nlink == 2);
    CHECK(look("/two").st_uid == 0);
    CHECK(!os::exists(prefix + "/pipe"));
    const auto cached = place.settings().directory + "/cache/shared";
    struct stat info {};
    REQUIRE(::lstat(cached.c_str(), &info) == 0);
    CHECK(info.st_uid == build_user()->uid);
    os::write_file(cached, "changed", 0644, os::Durable::no);
    CHECK(os::read_file(prefix + "/shared") == "shared\n");
    const auto entries = agent.builds.cache().list();
    CHECK(entries[0].bytes >= static_cast<std::uint64_t>(look("/sub/tool").st_blocks) * 512);
  });
}

TEST_CASE("an environment whose directories are nested without end is refused") {
  const Place place;
  const auto recipe = toy("deep",
                          "mkdir -p \"$PREFIX\"\ncd \"$PREFIX\"\ni=0\n"
                          "while [ $i -lt 300 ]; do mkdir d; cd -P d; i=$((i+1)); done\ncd -P \"$HOME\"\n");
  with_agent(place.settings(), [&](Agent& agent) -> Task<> {
    CHECK(says(co_await failure_of(agent.builds, recipe), "nested more than"));
    CHECK(nothing_left(place.settings(), recipe));
  });
}

TEST_CASE("a build that nobody waits for any more is stopped, and who comes late gets one of his own") {
  const Place place;
  const auto recipe = toy("unwanted", while_held(place));
  hold(place);
  with_agent(place.settings(), [&](Agent& agent) -> Task<> {
    Waiting first(1001);
    Waiting second(1002);
    int cancelled = 0;
    agent.jobs.spawn(expect_cancelled(agent.builds, recipe, first, cancelled));
    agent.jobs.spawn(expect_cancelled(agent.builds, recipe, second, cancelled));
    co_await until("it has begun", [&] { return lines_of(place.mark("begun")).size() == 1; });
    CHECK(agent.builds.building().at(0).wanted_by == std::set<uid_t>{1001, 1002});
    first.abandon();
    co_await until("the first has left", [&] { return cancelled == 1; });
    REQUIRE(agent.builds.building().size() == 1);
    CHECK(agent.builds.building()[0].wanted_by == std::set<uid_t>{1002});
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
    CHECK(waiting[1].description(berth::system_clock().now()).find("waits for other builds") != std::string::npos);
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
