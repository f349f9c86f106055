// The node's GPUs while an agent runs, and over its restarts: a real store, and an NVML that answers for a machine that
// a test changes.

#include "agent/gpus/gpus.hpp"

#include <doctest/doctest.h>

#include "runtime/async/attempt.hpp"
#include "runtime/async/cleanup.hpp"
#include "runtime/async/run.hpp"
#include "runtime/async/wait.hpp"
#include "runtime/base/error.hpp"
#include "runtime/os/identity.hpp"
#include "tests/agent/model/ids.hpp"
#include "tests/fakes/gpu_machine.hpp"

using namespace berth;
using namespace std::chrono_literals;
using fakes::GpuMachine;
using gpus::Gpus;
using Json = nlohmann::json;

namespace {

// What lasts over an agent's restart, and what an agent's listener was told.
class Node {
 public:
  explicit Node(Json machine_of) : machine(std::move(machine_of)) {
    settings.library = std::string(BERTH_TEST_LIB) + "/nvml.so";
    settings.sample = 1h;  // tests look when they want to
    settings.boot_id = "boot-a";
    settings.jobs_directory = directory / "jobs";
  }

  // With another agent each time.
  using Body = std::function<async::Task<>(Gpus&)>;
  void run(const Body& body) {
    told.clear();
    failures.clear();
    const auto whole = [](Node& node, const Body& act) -> async::Task<> {
      Gpus gpus(co_await async::this_coro::executor, node.settings, node.store, system_clock(), Log());
      const auto live = [](Node& of, Gpus& all, const Body& what) -> async::Task<> {
        Gpus::Listener listener;
        listener.changed = [&of](std::vector<queue::Device> devices) { of.told.push_back(std::move(devices)); };
        listener.failed = [&of](const model::JobId& job, const model::GpuError& failure) {
          of.failures.emplace_back(job, failure);
        };
        co_await all.start(std::move(listener));
        co_await what(all);
      };
      co_await async::with_cleanup(live(node, gpus, act), gpus.stop());
    };
    async::run(whole(*this, body), 20s);
  }

  // By the last that was told.
  std::string withheld(std::size_t number) const { return told.back().at(number).withheld.value_or(""); }

  os::TempDir directory;
  async::Pool pool;
  store::Store store{directory / "berth.db", system_clock(), pool};
  GpuMachine machine;
  gpus::Settings settings;
  std::vector<std::vector<queue::Device>> told;
  std::vector<std::pair<model::JobId, model::GpuError>> failures;
};

const gpus::Record::Drained kFan{"ann", "its fan is loud"};

}  // namespace

TEST_CASE("the machine's GPUs are told once, and again when something is another way") {
  Node node(GpuMachine::h100s(2));
  node.run([&](Gpus& gpus) -> async::Task<> {
    REQUIRE(node.told.size() == 1);
    REQUIRE(node.told.back().size() == 2);
    CHECK(node.told.back()[1] == queue::Device{"GPU-1", "GPU 1", 80_GiB, std::nullopt});
    node.machine.change([](Json& machine) { machine["gpus"][0]["used"] = 2ULL << 30; });
    co_await gpus.look();
    CHECK(node.told.size() == 1);
    CHECK(gpus.ledger().gpus()[0].used == 2_GiB);
    node.machine.change([](Json& machine) { machine["gpus"].push_back(GpuMachine::h100(2)); });
    co_await gpus.look_in_time();
    REQUIRE(node.told.size() == 2);
    CHECK(node.told.back().size() == 3);
  });
}

TEST_CASE("what an operator drains no job gets until he resumes it, whichever agent runs") {
  Node node(GpuMachine::h100s(2));
  node.run([&](Gpus& gpus) -> async::Task<> {
    const auto drained = co_await gpus.drain("1", kFan);
    CHECK(drained == "GPU-1");
    CHECK(node.withheld(0).empty());
    CHECK(node.withheld(1).find("ann") != std::string::npos);
    CHECK(node.withheld(1).find("its fan is loud") != std::string::npos);
    const auto unknown = co_await async::attempt(gpus.drain("7", kFan));
    REQUIRE(!unknown);
    CHECK(unknown.error().code() == Code::not_found);
    const auto ambiguous = co_await async::attempt(gpus.drain("GPU-", kFan));
    REQUIRE(!ambiguous);
    CHECK(ambiguous.error().code() == Code::conflict);
    CHECK(node.told.size() == 2);
  });
  node.settings.boot_id = "boot-b";  // it outlives the machine's, too
  node.run([&](Gpus& gpus) -> async::Task<> {
    REQUIRE(node.told.size() == 1);  // never as if it were to be had
    CHECK(node.withheld(1).find("its fan is loud") != std::string::npos);
    const auto resumed = co_await gpus.resume("GPU-1");
    CHECK(resumed == "GPU-1");
    CHECK(node.withheld(1).empty());
  });
  node.run([&](Gpus&) -> async::Task<> {
    CHECK(node.withheld(1).empty());
    co_return;
  });
}

TEST_CASE("a GPU that vanishes is its holder's failure, once, and withheld; another job's is not touched") {
  Node node(GpuMachine::h100s(2));
  node.run([&](Gpus& gpus) -> async::Task<> {
    gpus.hold("brave-heron-7k2m"_job, {"GPU-0"});
    gpus.hold("calm-otter-9d3f"_job, {"GPU-1"});
    node.machine.change([](Json& machine) { machine["gpus"][0]["gone"] = true; });
    for (int look = 0; look < 2; ++look) co_await gpus.look();
    REQUIRE(node.failures.size() == 1);
    CHECK(node.failures[0].first == "brave-heron-7k2m"_job);
    CHECK(node.failures[0].second.uuid == "GPU-0");
    CHECK(node.withheld(0).find("does not answer any more") != std::string::npos);
    CHECK(node.withheld(1).empty());
    const auto well = gpus.give_back("calm-otter-9d3f"_job);
    REQUIRE(well);
    CHECK_FALSE(well->failure);
    const auto broken = gpus.give_back("brave-heron-7k2m"_job);
    REQUIRE(broken);
    CHECK(broken->failure);
    CHECK_FALSE(gpus.give_back("brave-heron-7k2m"_job));
  });
}

TEST_CASE("a GPU that vanishes while no agent runs is missed by the next, in the same boot") {
  Node node(GpuMachine::h100s(2));
  node.run([](Gpus&) -> async::Task<> { co_return; });
  node.machine.change([](Json& machine) { machine["gpus"].erase(0); });
  node.run([&](Gpus& gpus) -> async::Task<> {
    REQUIRE(node.told.back().size() == 2);
    CHECK(gpus.ledger().gpus()[0].index + gpus.ledger().gpus()[1].index == 1);  // the other keeps its number
    gpus.hold("brave-heron-7k2m"_job, {"GPU-0"});  // whose job goes on
    co_await gpus.look();
    CHECK(node.failures.size() == 1);
  });
  node.settings.boot_id = "boot-b";
  node.run([&](Gpus&) -> async::Task<> {
    CHECK(node.told.back().size() == 1);
    co_return;
  });
}

TEST_CASE("an Xid withholds its GPU over a restart until the operator resumes it; what is wrong now still does") {
  Node node(GpuMachine::h100s(2));
  node.run([&](Gpus& gpus) -> async::Task<> {
    node.machine.change([](Json& machine) { machine["gpus"][0]["xids"] = {79}; });
    co_await gpus.look();
    CHECK(node.withheld(0).find("Xid 79") != std::string::npos);
  });
  node.machine.change([](Json& machine) {
    machine["gpus"][0].erase("xids");
    machine["gpus"][1]["compute_mode"] = 2;  // prohibited
  });
  node.run([&](Gpus& gpus) -> async::Task<> {
    CHECK(node.withheld(0).find("Xid 79") != std::string::npos);
    co_await gpus.resume("0");
    CHECK(node.withheld(0).empty());
    CHECK_FALSE(node.withheld(1).empty());
    co_await gpus.resume("1");
    CHECK_FALSE(node.withheld(1).empty());
  });
}

TEST_CASE("a record that makes no sense is no reason not to start") {
  Node node(GpuMachine::h100s(1));
  node.run([&](Gpus& gpus) -> async::Task<> { co_await gpus.drain("0", kFan); });
  node.run([&](Gpus&) -> async::Task<> {
    std::string nonsense = "{\"gpus\": 7";
    co_await node.store.set_gpu_record(std::move(nonsense));
  });
  node.run([&](Gpus&) -> async::Task<> {
    CHECK(node.withheld(0).empty());
    co_return;
  });
}

TEST_CASE("a driver that is loaded later is found by who wants GPUs, and nobody waits for one that is there") {
  Node node(Json{{"init", 9}});
  node.run([&](Gpus& gpus) -> async::Task<> {
    CHECK(gpus.ledger().gpus().empty());
    CHECK_FALSE(gpus.machine().driver);
    node.machine.change([](Json& machine) { machine = GpuMachine::h100s(1); });
    co_await gpus.look_if_none();
    REQUIRE(node.told.back().size() == 1);
    CHECK(gpus.machine().driver == gpu::Version{550, 54, 14});
    CHECK(gpus.machine().cards.size() == 1);
    node.machine.change([](Json& machine) { machine["gpus"].push_back(GpuMachine::h100(1)); });
    co_await gpus.look_if_none();
    CHECK(node.told.back().size() == 1);
  });
}

TEST_CASE("only what is offered counts: jobs get no other, and CUDA software is not held against it") {
  Node node(GpuMachine::h100s(3));
  node.machine.change([](Json& machine) { machine["gpus"][2]["capability"] = {7, 0}; });
  node.settings.offered = {"0", "GPU-1"};
  node.run([&](Gpus& gpus) -> async::Task<> {
    REQUIRE(node.told.back().size() == 2);
    CHECK(node.told.back()[0].uuid == "GPU-0");
    CHECK(node.told.back()[1].uuid == "GPU-1");
    CHECK(gpus.ledger().gpus().size() == 3);
    for (const auto& card : gpus.machine().cards) CHECK(card.capability == gpu::Version{9, 0, 0});
    co_return;
  });
  node.settings.managed = false;
  node.run([&](Gpus& gpus) -> async::Task<> {
    co_await gpus.look();
    CHECK(gpus.ledger().gpus().empty());
    CHECK(gpus.ledger().survey().notes.size() == 1);
  });
}

TEST_CASE("a job's memory is back when nothing of it has any, and what somebody else has withholds the GPU") {
  Node node(GpuMachine::h100s(2));
  node.run([&](Gpus& gpus) -> async::Task<> {
    gpus.hold("brave-heron-7k2m"_job, {"GPU-0"});
    const bool at_once = co_await gpus.memory_back("brave-heron-7k2m"_job);
    CHECK(at_once);
    node.machine.change([](Json& machine) {
      machine["gpus"][1]["processes"] = {{{"pid", ::getpid()}, {"memory", 1ULL << 30}}};
    });
    co_await gpus.look();
    CHECK(node.withheld(0).empty());
    CHECK(node.withheld(1).find(" of " + os::user_name(::geteuid())) != std::string::npos);
    const bool others_do_not_count = co_await gpus.memory_back("brave-heron-7k2m"_job);
    CHECK(others_do_not_count);
  });
}
