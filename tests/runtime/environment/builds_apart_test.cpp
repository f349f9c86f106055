// Builds for several users: whom they run as, what they see, which downloads they are made of, and who may come in.

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <filesystem>

#include "held_builds.hpp"
#include "runtime/os/child.hpp"
#include "runtime/os/sandbox.hpp"
#include "tests/support/skip.hpp"

namespace environment = berth::environment;
namespace os = berth::os;
namespace async = berth::async;
using namespace berth::environment::test;
using environment::Leased;
using environment::Recipe;
using environment::Waiting;

namespace {

constexpr uid_t kFirst = 1'900'100'000;  // apart from what other tests use
constexpr uid_t kAnn = 1'900'200'001;
constexpr uid_t kBob = 1'900'200'002;

bool can_be_tested() {
  const os::TempDir place;
  return ::geteuid() == 0 && os::why_no_sandbox(environment::build_identity_of(kFirst), place.path()).empty();
}

environment::BuildSettings settings_of(const Place& place) {
  auto settings = place.settings();
  settings.identity.reset();
  settings.users = environment::UserRange{kFirst, 1024};
  settings.sandbox = true;
  return settings;
}

// What it sees is left in the environment; `of` is whose it is, nobody's for all.
Recipe noting(const Place& place, const std::string& name, std::optional<uid_t> of, const std::string& script = "") {
  auto recipe = toy(name, "mkdir -p $PREFIX\nid -u >$PREFIX/uid\necho $CACHE >$PREFIX/cache\n" + script);
  recipe.inputs = {place.marks()};
  recipe.owner = of;
  recipe.asker = of;
  return recipe;
}

std::string line_in(const Leased& leased, const std::string& file) {
  return lines_of(os::join(os::parent_of(leased.ready.path_prefix), file)).at(0);
}

bool may_enter(const std::string& path, uid_t uid) {
  const pid_t pid = ::fork();
  if (pid == 0) {
    const auto who = environment::build_identity_of(uid);
    ::_exit(os::become(who) && ::open(path.c_str(), O_RDONLY | O_DIRECTORY) >= 0 ? 0 : 1);
  }
  int status = 0;
  ::waitpid(pid, &status, 0);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

Task<Leased> made(Agent& agent, Recipe recipe) {
  Waiting waiting;
  co_return co_await agent.builds.ensure(std::move(recipe), waiting);
}

}  // namespace

TEST_CASE("each user has a cache that only his own builds use; what is for all is made with none") {
  SKIP_UNLESS(can_be_tested(), "root, and namespaces");
  const Place place;
  const std::string plant =
      "[ -e $CACHE/planted ] && echo found >$PREFIX/found || echo clean >$PREFIX/found\n"
      "echo x >$CACHE/planted\n";
  with_agent(settings_of(place), [&](Agent& agent) -> Task<> {
    const auto first = co_await made(agent, noting(place, "first", kAnn, plant));
    const auto second = co_await made(agent, noting(place, "second", kAnn, plant));
    const auto bobs = co_await made(agent, noting(place, "bobs", kBob, plant));
    const auto shared = co_await made(agent, noting(place, "shared", std::nullopt, plant));
    const auto again = co_await made(agent, noting(place, "again", std::nullopt, plant));
    CHECK(line_in(first, "found") == "clean");
    CHECK(line_in(second, "found") == "found");
    for (const auto* leased : {&bobs, &shared, &again}) CHECK(line_in(*leased, "found") == "clean");
    CHECK(line_in(first, "uid") == line_in(second, "uid"));
    CHECK(line_in(first, "uid") != line_in(bobs, "uid"));
    CHECK(line_in(shared, "uid") != line_in(first, "uid"));
    CHECK(!os::exists(line_in(shared, "cache")));
    CHECK(!may_enter(line_in(first, "cache"), kAnn));
  });
}

TEST_CASE(
    "a user's downloads go while none of his builds runs, whatever builds of others do, and the next begins anew") {
  SKIP_UNLESS(can_be_tested(), "root, and namespaces");
  const Place place;
  const auto settings = settings_of(place);
  const std::string fetch =
      "[ -e $CACHE/file ] && echo found >$PREFIX/found || echo clean >$PREFIX/found\n"
      "head -c 100000 /dev/urandom >$CACHE/file\n";
  const auto held =
      noting(place, "held", kBob, fetch + "echo begun\nwhile [ -e " + place.mark("hold") + " ]; do sleep 0.02; done\n");
  hold(place);
  with_agent(settings, [&](Agent& agent) -> Task<> {
    co_await made(agent, noting(place, "anns", kAnn, fetch));
    Waiting waiting;
    std::vector<Leased> all;
    agent.jobs.spawn(keep(agent.builds, held, waiting, all));
    co_await until("it has begun", [&] {
      return waiting.build() && waiting.build()->running && lines_of(waiting.build()->log).size() == 1;
    });
    const auto entries = agent.builds.downloads().list();
    REQUIRE(entries.size() == 2);
    for (const auto& entry : entries) {
      CHECK(entry.in_use == (entry.owner == kBob));
      CHECK(entry.bytes >= 100'000);
    }
    const auto refused = co_await async::attempt(agent.builds.drop_downloads(kBob));
    REQUIRE(!refused);
    CHECK(refused.error().code() == berth::Code::conflict);
    co_await agent.builds.drop_downloads(kAnn);
    CHECK(!os::exists(settings.directory + "/cache/" + std::to_string(kAnn)));
    const auto again = co_await made(agent, noting(place, "again", kAnn, fetch));
    CHECK(line_in(again, "found") == "clean");
    co_await agent.jobs.stop_and_join();
  });
  with_agent(settings, [&](Agent& agent) -> Task<> {  // the build goes on, and so does its use
    const auto refused = co_await async::attempt(agent.builds.drop_downloads(kBob));
    CHECK(!refused);
    CHECK(os::exists(settings.directory + "/cache/" + std::to_string(kBob) + "/file"));
    let_go(place);
    co_await made(agent, held);
    co_await agent.builds.drop_downloads(kBob);
    CHECK(!os::exists(settings.directory + "/cache/" + std::to_string(kBob)));
  });
}

TEST_CASE("downloads that cannot be counted, and what an earlier agent set aside, are not kept") {
  SKIP_UNLESS(can_be_tested(), "root, and namespaces");
  const Place place;
  const auto settings = settings_of(place);
  const auto cache = settings.directory + "/cache/";
  os::make_directories(cache + "doomed-1/some", 0700);
  os::make_directories(cache + "pip/common", 0700);
  with_agent(settings, [&](Agent& agent) -> Task<> {
    co_await until("what is left is gone",
                   [&] { return !os::exists(cache + "doomed-1") && !os::exists(cache + "pip"); });
    co_await made(agent,
                  noting(place, "deep", kAnn,
                         "cd $CACHE\ni=0\nwhile [ $i -lt 300 ]; do mkdir d; cd -P d; i=$((i+1)); done\ncd -P $HOME\n"));
    co_await until("they are gone", [&] { return !os::exists(cache + std::to_string(kAnn)); });
    co_await until("all of it is", [&] { return std::filesystem::is_empty(cache); });
    co_await made(agent, noting(place, "next", kAnn, "echo x >$CACHE/file\n"));
    CHECK(os::exists(cache + std::to_string(kAnn) + "/file"));
  });
}

TEST_CASE(
    "what is a user's alone can be entered by that user, what is for all by everybody, and nothing can be listed") {
  SKIP_UNLESS(can_be_tested(), "root, and namespaces");
  const Place place;
  const auto settings = settings_of(place);
  with_agent(settings, [&](Agent& agent) -> Task<> {
    const auto anns = co_await made(agent, noting(place, "anns", kAnn));
    const auto shared = co_await made(agent, noting(place, "shared", std::nullopt));
    CHECK(may_enter(anns.ready.path_prefix, kAnn));
    CHECK(!may_enter(anns.ready.path_prefix, kBob));
    CHECK(may_enter(shared.ready.path_prefix, kBob));
    const auto digest = os::parent_of(os::parent_of(os::parent_of(shared.ready.path_prefix)));
    for (const auto& path : {settings.directory, digest, digest + "/build", settings.directory + "/failed"})
      CHECK(!may_enter(path, kBob));
    for (const auto& entry : agent.builds.cache().list())
      CHECK(entry.owner == (entry.words.find("anns") == std::string::npos ? std::nullopt : std::optional(kAnn)));
  });
}

TEST_CASE("a build that is adopted keeps its user from those that begin, and nothing of it is left") {
  SKIP_UNLESS(can_be_tested(), "root, and namespaces");
  const Place place;
  const auto settings = settings_of(place);
  const auto held = noting(place, "held", std::nullopt,
                           "(trap '' TERM; while :; do sleep 0.05; done) &\necho begun\nwhile [ -e " +
                               place.mark("hold") + " ]; do sleep 0.02; done\n");
  hold(place);
  with_agent(settings, [&](Agent& agent) -> Task<> {
    Waiting waiting;
    std::vector<Leased> all;
    agent.jobs.spawn(keep(agent.builds, held, waiting, all));
    co_await until("it has begun", [&] {
      return waiting.build() && waiting.build()->running && lines_of(waiting.build()->log).size() == 1;
    });
    co_await agent.jobs.stop_and_join();
  });
  with_agent(settings, [&](Agent& agent) -> Task<> {
    const auto other = co_await made(agent, noting(place, "other", std::nullopt));
    let_go(place);
    const auto adopted = co_await made(agent, held);
    CHECK(line_in(adopted, "uid") != line_in(other, "uid"));
    const auto uid = "Uid:\t" + line_in(adopted, "uid");
    for (const auto pid : os::descendants_of(1)) {
      const auto status = os::read_file_if_exists("/proc/" + std::to_string(pid) + "/status").value_or("");
      CHECK(status.find(uid) == std::string::npos);
    }
  });
}

TEST_CASE("a build in a sandbox is stopped at its time limit") {
  SKIP_UNLESS(can_be_tested(), "root, and namespaces");
  const Place place;
  auto settings = settings_of(place);
  settings.time_limit = std::chrono::seconds(2);
  with_agent(settings, [&](Agent& agent) -> Task<> {
    const auto error =
        co_await failure_of(agent.builds, noting(place, "endless", std::nullopt, "while :; do sleep 1; done\n"));
    CHECK(says(error, "took longer than"));
    CHECK(nothing_left(settings, noting(place, "endless", std::nullopt)));
  });
}

TEST_CASE("builds of one user that do not end leave a place to another") {
  SKIP_UNLESS(can_be_tested(), "root, and namespaces");
  const Place place;
  auto settings = settings_of(place);
  settings.at_once = 2;
  hold(place);
  with_agent(settings, [&](Agent& agent) -> Task<> {
    std::vector<Waiting> waiting(4);
    std::vector<Leased> all;
    const auto endless = "while [ -e " + place.mark("hold") + " ]; do sleep 0.02; done\n";
    for (std::size_t at = 0; at < waiting.size(); ++at)
      agent.jobs.spawn(keep(agent.builds, noting(place, "long" + std::to_string(at), kBob, endless), waiting[at], all));
    const auto running = [&] {
      return std::count_if(waiting.begin(), waiting.end(),
                           [](const Waiting& one) { return one.build() && one.build()->running; });
    };
    co_await until("two run", [&] { return running() == 2; });
    const auto anns = co_await made(agent, noting(place, "anns", kAnn));
    CHECK(anns.lease);
    CHECK(running() == 2);
    let_go(place);
    co_await until("all are there", [&] { return all.size() == 4; });
  });
}
