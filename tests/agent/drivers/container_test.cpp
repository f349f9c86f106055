// The driver of containers, before an engine that does what no real one can be made to do at a given moment. What real
// ones do is tested with those (tests/runtime/docker, tests/integration/image_test.py).

#include "agent/drivers/container.hpp"

#include <doctest/doctest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runtime/async/attempt.hpp"
#include "runtime/async/cleanup.hpp"
#include "runtime/async/nursery.hpp"
#include "runtime/async/run.hpp"
#include "runtime/async/wait.hpp"
#include "runtime/objects/sha256.hpp"
#include "tests/agent/model/ids.hpp"
#include "tests/fakes/engine.hpp"

using namespace berth;
using namespace std::chrono_literals;
using drivers::Driver;
using State = fakes::Engine::State;

namespace {

const std::string kImage = "sha256:0123";

async::Task<> until(const std::function<bool()>& condition) {
  while (!condition()) co_await async::sleep_for(2ms);
}

// A process that does nothing until it is ended.
class Process {
 public:
  Process() : pid_(::fork()) {
    if (pid_ == 0) {
      ::pause();
      ::_exit(0);
    }
  }
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;
  ~Process() { end(); }
  pid_t pid() const { return pid_; }
  void end() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
    pid_ = 0;
  }

 private:
  pid_t pid_;
};

// A node whose engine is none, and a job on it.
class Site {
 public:
  Site() {
    environment.image = kImage;
    engine.with([](State& state) { state.images[kImage] = {{"LANG=C", "CUDA_VERSION=12.4"}, "/srv"}; });
    plan.job_id = "brave-heron-7k2m";
    plan.command = {"train"};
    plan.environment = {"LR=0.1"};
    plan.working_directory = "/";
    plan.cgroup = "/sys/fs/cgroup/jobs/x";
    plan.limits.memory = 1ULL << 30;
    plan.limits.pids = 10;
    os::make_directories(launch_directory(1));
  }

  using Body = std::function<async::Task<>(Driver&)>;
  void run(const Body& body) {
    const auto whole = [](Site& here, const Body& act) -> async::Task<> {
      drivers::ContainerOptions options{here.engine.socket(), "/usr/lib/berth/berth-shim", here.state(),
                                        here.records()};
      auto driver =
          drivers::container_driver(co_await async::this_coro::executor, std::move(options), here.directories, Log());
      driver->begin([&here] { return here.live; });
      co_await async::with_cleanup(act(*driver), driver->stop());
    };
    async::run(whole(*this, body), 20s);
  }
  async::Task<shim::Supervisor> start(Driver& driver, int number = 1) {
    co_return co_await driver.start(launch(number), plan, place, environment, "");
  }

  void use_overlay() {
    place.tree = "/jobs/tree";
    place.overlay = os::Overlay{{"/checkouts/1"}, "/jobs/upper", "/jobs/work", place.tree};
  }
  model::JobId job() const { return model::JobId(plan.job_id); }
  drivers::LaunchId launch(int number = 1) const { return {job(), 1000, number}; }
  std::string launch_directory(int number) const { return directories.directory(job(), number); }
  std::string state() const { return directory.path(); }
  std::string records() const { return directory / "containers"; }
  std::vector<std::string> recorded() const { return os::names_in(records()); }
  std::string remarks() const { return os::read_file_if_exists(directories.side_log(job(), "agent")).value_or(""); }
  // As the supervisor does it when it has started the job.
  void mark_started() const {
    os::write_file(launch_directory(1) + "/" + shim::kStartedFile, "{}", 0600, os::Durable::no);
  }
  fakes::Engine::Container container() {
    return engine.with([](State& all) {
      REQUIRE(all.containers.size() == 1);
      return all.containers.begin()->second;
    });
  }
  void change(const std::function<void(fakes::Engine::Container&)>& change) {
    engine.with([&](State& all) {
      REQUIRE(all.containers.size() == 1);
      change(all.containers.begin()->second);
    });
  }
  // Neither in the engine nor on record.
  bool is_clear() {
    return recorded().empty() && engine.with([](State& all) { return all.containers.empty() && all.volumes.empty(); });
  }

  os::TempDir directory;
  objects::Store objects{directory / "objects"};
  snapshot::Checkouts checkouts{directory / "checkouts"};
  drivers::JobDirectories directories{{directory / "jobs"}, objects, checkouts};
  fakes::Engine engine;
  std::set<model::JobId> live;
  environment::Ready environment;
  shim::Launch plan;
  drivers::Site place;
};

shim::Condition over(os::Exit exit) {
  shim::Over over;
  over.ended.outcome = exit;
  return over;
}

}  // namespace

TEST_CASE("a launch is prepared with what its image says, and what the job asks of its container") {
  Site site;
  site.run([&](Driver& driver) -> async::Task<> {
    model::Job job;
    job.id = site.job();
    job.request.container.shm_size = 3_GiB;
    job.request.container.docker_args = "--cpus 2";
    const auto nobody = os::identity_of(::geteuid()).value();
    co_await driver.prepare(site.launch(), job, site.environment, nobody, site.place);
    CHECK(site.place.container);
    CHECK(site.place.image_environment == std::vector<std::string>{"LANG=C", "CUDA_VERSION=12.4"});
    CHECK(site.place.image_directory == "/srv");
    CHECK(site.place.shm_size == 3_GiB);
    CHECK(site.place.docker_args == std::vector<std::string>{"--cpus 2"});

    site.environment.image = "sha256:gone";
    const auto without =
        co_await async::attempt(driver.prepare(site.launch(), job, site.environment, nobody, site.place));
    REQUIRE(!without);
    CHECK(without.error().code() == Code::not_found);
    CHECK(without.error().lack() == Lack::nothing);
    site.engine.go();
    const auto away = co_await async::attempt(driver.prepare(site.launch(), job, site.environment, nobody, site.place));
    REQUIRE(!away);
    CHECK(away.error().lack() == Lack::engine);
  });
}

TEST_CASE("a container is on record before anything is made, and its first process is the supervisor") {
  Site site;
  const Process process;
  site.engine.with([&](State& state) { state.next_pid = process.pid(); });
  site.use_overlay();
  site.place.gpus = {"GPU-1"};
  site.place.docker_args = {"--network", "host", "--env", "NVIDIA_VISIBLE_DEVICES=all"};
  site.plan.network = false;
  std::map<std::string, std::string> records;  // by the request before which they were there
  site.engine.before = [&](const std::string& request) {
    for (const auto& name : site.recorded()) records[request] = os::read_file(site.records() + "/" + name);
  };
  site.run([&](Driver& driver) -> async::Task<> {
    const auto supervisor = co_await site.start(driver);
    CHECK(supervisor.pid == process.pid());
    CHECK_FALSE(os::has_ended(supervisor.pidfd));
    const auto container = site.container();
    for (const auto* request : {"POST /volumes/create", "POST /containers/create"})
      CHECK(records[request].find('"' + container.name + '"') != std::string::npos);
    CHECK(records["POST /containers/c1/start"].find("\"c1\"") != std::string::npos);

    const auto& asked = container.asked;
    const auto& host = asked.at("HostConfig");
    const std::vector<std::string> entrypoint{"/.berth-shim", site.launch_directory(1)};
    CHECK(asked.at("Entrypoint") == entrypoint);
    CHECK(host.at("Mounts").size() == 3);
    CHECK(host.at("Mounts")[2].at("Source") == container.name);
    CHECK(host.at("NetworkMode") == "none");  // whatever the job's arguments say
    CHECK(host.at("Memory") == 1ULL << 30);
    CHECK(host.at("PidsLimit") == 11);  // the supervisor's own
    for (const auto& variable : asked.at("Env")) CHECK(variable != "NVIDIA_VISIBLE_DEVICES=all");
    const auto volume = site.engine.with([&](State& state) { return state.volumes.at(container.name); });
    CHECK(volume.at("DriverOpts").at("o").get<std::string>().find("upperdir=/jobs/upper") != std::string::npos);

    // What the engine does, the supervisor does not do again.
    const auto inside = shim::launch_from_text(os::read_file(site.launch_directory(1) + "/" + shim::kLaunchFile));
    CHECK(inside.command == std::vector<std::string>{"train"});
    CHECK(inside.cgroup.empty());
    CHECK_FALSE(inside.limits.memory);
    CHECK(inside.network);
  });
}

TEST_CASE("a start that the engine refuses leaves nothing, and says whose image it was") {
  Site site;
  site.use_overlay();
  site.run([&](Driver& driver) -> async::Task<> {
    const std::vector<std::tuple<std::string, int, Code>> refusals{{"POST /volumes/create", 500, Code::io},
                                                                   {"POST /containers/create", 409, Code::conflict},
                                                                   {"POST /containers/c1/start", 500, Code::io}};
    for (const auto& [request, status, code] : refusals) {
      INFO(request);
      site.engine.refuse(request, status, "will not");
      const auto started = co_await async::attempt(site.start(driver));
      REQUIRE(!started);
      CHECK(started.error().code() == code);
      CHECK(started.error().lack() == Lack::nothing);
      CHECK(started.error().describe().find("starting a container of the image " + kImage) != std::string::npos);
      CHECK(site.is_clear());
    }
  });
}

TEST_CASE(
    "an engine that stops as a container starts has not refused it, and what it was about to make is found again") {
  Site site;
  site.run([&](Driver& driver) -> async::Task<> {
    site.engine.break_off("POST /containers/create", true);
    site.engine.refuse("GET /containers/", 500, "the daemon is shutting down");  // as what is left is looked for
    const auto started = co_await async::attempt(site.start(driver));
    REQUIRE(!started);
    CHECK(started.error().lack() == Lack::engine);
    CHECK(site.recorded().size() == 1);
    CHECK(site.engine.with([](State& state) { return state.containers.size(); }) == 1);
    const auto again = co_await site.start(driver);
    CHECK(site.container().name != "");  // one, not two
    CHECK(site.container().running);
    CHECK(site.recorded().size() == 1);
  });
}

TEST_CASE("after a start of which nothing was heard the launch's files tell") {
  Site site;
  site.run([&](Driver& driver) -> async::Task<> {
    site.engine.break_off("POST /containers/c1/start", true);
    const auto unheard = co_await site.start(driver);
    CHECK(os::has_ended(unheard.pidfd));  // so the files are looked at
    CHECK(site.recorded().size() == 1);
    CHECK(site.container().running);
  });
}

TEST_CASE("so they do where the job began before the engine refused") {
  Site site;
  site.engine.refuse("POST /containers/c1/start", 500, "cannot attach");
  site.mark_started();
  site.run([&](Driver& driver) -> async::Task<> {
    const auto supervisor = co_await site.start(driver);
    CHECK(os::has_ended(supervisor.pidfd));
    CHECK(site.recorded().size() == 1);
  });
}

TEST_CASE("another agent finds the supervisor of a container that runs, by what was written down and by nothing else") {
  Site site;
  Process process;
  site.engine.with([&](State& state) { state.next_pid = process.pid(); });
  site.run([&](Driver& driver) -> async::Task<> { co_await site.start(driver); });
  site.run([&](Driver& driver) -> async::Task<> {
    const auto found = co_await driver.recover(site.launch());
    REQUIRE(found);
    CHECK_FALSE(os::has_ended(*found));
    process.end();
    CHECK(os::has_ended(*found));

    const auto unknown = co_await async::attempt(driver.recover(site.launch(2)));
    CHECK(!unknown);
    site.change([](auto& container) { container.running = false; });
    const auto ended = co_await async::attempt(driver.recover(site.launch()));
    REQUIRE(!ended);
    CHECK(ended.error().code() == Code::not_found);
    site.engine.go();
    const auto away = co_await async::attempt(driver.recover(site.launch()));
    REQUIRE(!away);
    CHECK(away.error().lack() == Lack::engine);
  });
}

TEST_CASE("an agent that wrote nothing down named its containers, of which only one that runs is taken over") {
  Site site;
  const Process process;
  const auto agent = objects::sha256(site.state()).hex().substr(0, 8);
  site.engine.with([&](State& state) {
    state.containers["old"] = {"berth-" + agent + "-" + site.plan.job_id + "-1", {}, true, process.pid()};
    state.containers["older"] = {"berth-" + agent + "-" + site.plan.job_id + "-2", {}, false, 0};
  });
  site.run([&](Driver& driver) -> async::Task<> {
    const auto found = co_await driver.recover(site.launch(1));
    REQUIRE(found);
    CHECK_FALSE(os::has_ended(*found));
    const auto ended = co_await async::attempt(driver.recover(site.launch(2)));
    CHECK(!ended);
    CHECK(site.recorded() == std::vector<std::string>{site.plan.job_id + "-1.json"});
  });
}

TEST_CASE("nobody asks the engine about a job that ended well; its container goes when its end is on record") {
  Site site;
  site.run([&](Driver& driver) -> async::Task<> {
    co_await site.start(driver);
    const auto before = site.engine.with([](State& state) { return state.requests.size(); });
    auto well = over({.status = 0});
    const bool added = co_await driver.settle(site.launch(), well);
    CHECK_FALSE(added);
    CHECK(site.engine.with([](State& state) { return state.requests.size(); }) == before);
    site.change([](auto& container) { container.running = false; });
    co_await driver.clean(site.launch());
    CHECK(site.is_clear());
  });
}

TEST_CASE("what the kernel did is the engine's to tell, once it has seen the end") {
  Site site;
  site.run([&](Driver& driver) -> async::Task<> {
    co_await site.start(driver);
    site.engine.before = [&, looks = 0](const std::string& request) mutable {
      if (request == "GET /containers/c1/json" && ++looks == 3)
        site.change([](auto& container) {
          container.running = false;
          container.out_of_memory = true;
        });
    };
    auto killed = over({.signalled = true, .status = 9});
    const bool added = co_await driver.settle(site.launch(), killed);
    CHECK(added);
    CHECK(std::get<shim::Over>(killed).ended.out_of_memory_kills == 1);
    CHECK(site.is_clear());
  });
}

TEST_CASE("a container that somebody removed is nothing to tell of, and its volume goes all the same") {
  Site site;
  site.use_overlay();
  site.run([&](Driver& driver) -> async::Task<> {
    co_await site.start(driver);
    site.engine.with([](State& state) { state.containers.clear(); });
    shim::Condition lost = shim::Lost{};
    const bool added = co_await driver.settle(site.launch(), lost);
    CHECK_FALSE(added);
    CHECK(site.is_clear());
    CHECK(site.remarks().empty());
  });
}

TEST_CASE("what cannot be removed now is told, and goes by itself once it can, though the engine was away between") {
  Site site;
  site.run([&](Driver& driver) -> async::Task<> {
    co_await site.start(driver);
    site.change([](auto& container) { container.running = false; });
    SUBCASE("it says that the removal is in progress") {
      site.engine.refuse("DELETE /containers/c1", 409, "removal of container c1 is already in progress");
      co_await driver.clean(site.launch());
      CHECK(site.remarks().find("its container cannot be removed now: ") != std::string::npos);
      CHECK(site.remarks().find("already in progress") != std::string::npos);
    }
    SUBCASE("it is away") {
      site.engine.go();
      auto failed = over({.status = 1});
      const bool added = co_await driver.settle(site.launch(), failed);
      CHECK_FALSE(added);
      CHECK(std::get<shim::Over>(failed).ended.out_of_memory_kills == 0);
      CHECK(site.remarks().find("its container cannot be removed now: ") != std::string::npos);
      CHECK(site.recorded().size() == 1);
      site.engine.come();
    }
    SUBCASE("a volume of it is in use") {
      site.engine.refuse("DELETE /volumes/", 409, "volume is in use");
      co_await driver.clean(site.launch());
      CHECK(site.recorded().size() == 1);
    }
    co_await until([&] { return site.is_clear(); });
  });
}

TEST_CASE("with the last launch of a job the earlier ones go, and none of another job") {
  Site site;
  os::make_directories(site.launch_directory(2));
  site.run([&](Driver& driver) -> async::Task<> {
    co_await site.start(driver, 1);
    co_await site.start(driver, 2);
    site.engine.with([](State& state) {
      for (auto& [id, container] : state.containers) container.running = false;
    });
    auto other = site.launch(2);
    other.job = "calm-otter-9d3f"_job;
    co_await driver.clean(other);
    CHECK(site.recorded().size() == 2);
    co_await driver.clean(site.launch(2));
    CHECK(site.is_clear());
  });
}

TEST_CASE("the engine's stop is told as that, also where it comes as one waits for it") {
  Site site;
  site.run([&](Driver& driver) -> async::Task<> {
    const auto ended = co_await driver.why_lost();
    CHECK(ended == model::Lost::Cause::container_ended);
    const auto asked = site.engine.asked("GET /version");
    CHECK(asked > 3);  // it may just be about to stop
    site.engine.before = [&](const std::string&) {
      if (site.engine.asked("GET /version") == asked + 2) site.engine.break_off("GET /version", false);
    };
    const auto stopped = co_await driver.why_lost();
    CHECK(stopped == model::Lost::Cause::engine_stopped);
    CHECK(site.engine.asked("GET /version") == asked + 3);
    site.engine.go();
    const auto away = co_await driver.why_lost();
    CHECK(away == model::Lost::Cause::engine_stopped);
  });
}

TEST_CASE("who waits for the engine is woken when it is back, and only who waits for the engine waits here") {
  Site site;
  site.run([&](Driver& driver) -> async::Task<> {
    for (const auto other : {Lack::nothing, Lack::registry}) CHECK_FALSE(driver.is_away(other));
    co_await driver.back();  // nothing is away
    CHECK(site.engine.asked("GET /version") == 0);
    site.engine.go();
    CHECK(driver.is_away(Lack::engine));
    bool back = false;
    const auto wait = [](Driver& of, bool& is_back) -> async::Task<> {
      co_await of.back();
      is_back = true;
    };
    const auto come = [](Site& at, bool& is_back) -> async::Task<> {
      co_await async::sleep_for(50ms);  // in which nothing must happen
      CHECK_FALSE(is_back);
      at.engine.come();
    };
    async::Nursery both(co_await async::this_coro::executor, [](std::exception_ptr) { CHECK(false); });
    both.spawn(wait(driver, back));
    both.spawn(come(site, back));
    co_await both.join();
    CHECK(back);
  });
}

TEST_CASE(
    "an engine that hangs keeps no agent from its end, whatever it was asked, and the next one goes on from there") {
  using Ask = std::function<async::Task<>(Site&, Driver&)>;
  const std::vector<std::pair<std::string, Ask>> asks{
      {"POST /containers/create", [](Site& site, Driver& driver) -> async::Task<> { co_await site.start(driver, 2); }},
      {"POST /containers/c2/start",
       [](Site& site, Driver& driver) -> async::Task<> { co_await site.start(driver, 2); }},
      {"GET /containers/c1/json",
       [](Site& site, Driver& driver) -> async::Task<> { co_await driver.recover(site.launch()); }},
      {"GET /containers/c1/json",
       [](Site& site, Driver& driver) -> async::Task<> { co_await driver.clean(site.launch()); }},
      {"DELETE /containers/c1", [](Site&, Driver& driver) -> async::Task<> { co_await driver.sweep(); }},
      {"GET /version", [](Site&, Driver& driver) -> async::Task<> { co_await driver.why_lost(); }},
      {"GET /version", [](Site&, Driver& driver) -> async::Task<> {
         CHECK(driver.is_away(Lack::engine));  // it is asked until it answers
         co_return;
       }}};
  for (const auto& [request, ask] : asks) {
    Site site;
    os::make_directories(site.launch_directory(2));
    site.run([&](Driver& driver) -> async::Task<> { co_await site.start(driver); });
    site.change([](auto& container) { container.running = false; });
    INFO(request);
    const auto begin = std::chrono::steady_clock::now();
    site.run([&, number = site.engine.asked(request)](Driver& driver) -> async::Task<> {
      co_await driver.back();
      site.engine.hang(request);
      async::Nursery jobs(co_await async::this_coro::executor, [](std::exception_ptr) { CHECK(false); });
      jobs.spawn(ask(site, driver));
      co_await until([&] { return site.engine.asked(request) > number; });
      co_await jobs.stop_and_join();
    });
    CHECK(std::chrono::steady_clock::now() - begin < 5s);
    CHECK(site.remarks().empty());
    site.engine.go();
    site.engine.come();
    site.run([](Driver& driver) -> async::Task<> { co_await driver.sweep(); });
    CHECK(site.is_clear());
  }
}

TEST_CASE("an agent sweeps what jobs of an earlier one left, nothing of those that live, and nothing of strangers") {
  Site site;
  os::make_directories(site.launch_directory(2));
  site.run([&](Driver& driver) -> async::Task<> { co_await site.start(driver); });
  site.engine.with([](State& state) {
    state.containers.begin()->second.running = false;
    state.containers["x"] = {"berth-" + std::string("brave-heron-7k2m") + "-1-0", {}, false, 0};  // anybody's
  });
  os::write_file(site.records() + "/half.json.tmp.1.2", "half", 0600, os::Durable::no);
  site.live = {site.job()};
  site.run([&](Driver& driver) -> async::Task<> {
    co_await driver.sweep();
    CHECK(site.recorded() == std::vector<std::string>{site.plan.job_id + "-1.json"});
    site.live.clear();
    SUBCASE("at once") { co_await driver.sweep(); }
    SUBCASE("when the engine is there") {
      site.engine.go();
      const auto swept = co_await async::attempt(driver.sweep());
      REQUIRE(!swept);
      CHECK(swept.error().lack() == Lack::engine);
      site.engine.come();
    }
    co_await until([&] { return site.recorded().empty(); });
    CHECK(site.container().name == "berth-brave-heron-7k2m-1-0");
  });
}
