#include "agent/gpus/ledger.hpp"

#include <doctest/doctest.h>

#include "runtime/base/error.hpp"
#include "tests/agent/model/ids.hpp"

using namespace berth;
using gpus::Ledger;
using gpus::Look;
using namespace std::chrono_literals;

namespace {

gpu::Gpu card(unsigned number) {
  gpu::Gpu gpu;
  gpu.uuid = "GPU-" + std::to_string(number);
  gpu.index = number;
  gpu.name = "NVIDIA H100 80GB HBM3";
  gpu.brand = "tesla";
  gpu.capability = {9, 0, 0};
  gpu.memory = 80_GiB;
  gpu.used = 1_GiB;
  gpu.utilisation = 50;
  gpu.device_paths = {"/dev/nvidia" + std::to_string(number)};
  return gpu;
}

Look two_cards() {
  Look look;
  look.survey.gpus = {card(0), card(1)};
  look.survey.driver = gpu::Version{550, 54, 14};
  look.survey.cuda = gpu::Version{12, 4, 0};
  look.proc_devices = "Character devices:\n195 nvidia\n236 nvidia-caps\n";
  return look;
}

// `job`: "" for a process that is no job's.
void add_process(Look& look, std::size_t number, pid_t pid, const std::string& job, ByteSize memory) {
  look.survey.gpus[number].processes.push_back({pid, memory});
  if (job.empty())
    look.owners[pid] = {std::nullopt, "python3 of alice"};
  else
    look.owners[pid] = {job, ""};
}

std::string withheld(const Ledger& ledger, std::size_t number) { return ledger.gpus()[number].withheld.value_or(""); }

const Steady kStart{};

}  // namespace

TEST_CASE("a process belongs to the job whose control group it is in, however deep") {
  CHECK(gpus::job_of_group("/sys/fs/cgroup/berth/calm-otter-2xyz-1", "/sys/fs/cgroup/berth") == "calm-otter-2xyz"_job);
  CHECK(gpus::job_of_group("/sys/fs/cgroup/berth/calm-otter-2xyz-12/inner", "/sys/fs/cgroup/berth") ==
        "calm-otter-2xyz"_job);
  CHECK_FALSE(gpus::job_of_group("/sys/fs/cgroup/berth/shims", "/sys/fs/cgroup/berth"));
  CHECK_FALSE(gpus::job_of_group("/sys/fs/cgroup/berth", "/sys/fs/cgroup/berth"));
  CHECK_FALSE(gpus::job_of_group("/sys/fs/cgroup/berth2/a-1", "/sys/fs/cgroup/berth"));
  CHECK_FALSE(gpus::job_of_group("/a-1", ""));
}

TEST_CASE("without a group the supervisor's mark in its environment tells, if it is of this agent") {
  using namespace std::string_view_literals;
  const auto environment = "PATH=/bin\0BERTH_LAUNCH=/srv/s/jobs/calm-otter-2xyz/1\0A=b\0"sv;
  CHECK(gpus::job_of_environment(environment, "/srv/s/jobs") == "calm-otter-2xyz"_job);
  CHECK_FALSE(gpus::job_of_environment(environment, "/srv/other/jobs"));
  CHECK_FALSE(gpus::job_of_environment("XBERTH_LAUNCH=/srv/s/jobs/a/1"sv, "/srv/s/jobs"));
  CHECK_FALSE(gpus::job_of_environment(""sv, "/srv/s/jobs"));
  CHECK_FALSE(gpus::job_of_environment("BERTH_LAUNCH="sv, "/srv/s/jobs"));
}

TEST_CASE("only the GPUs that the configuration names are offered, by UUID or number") {
  for (const auto* name : {"GPU-1", "1"}) {
    Ledger ledger(std::vector<std::string>{name});
    ledger.take(two_cards(), kStart);
    REQUIRE(ledger.devices().size() == 1);
    CHECK(ledger.devices()[0].uuid == "GPU-1");
    CHECK(withheld(ledger, 0).find("does not offer") != std::string::npos);
    CHECK_FALSE(ledger.is_unwell("GPU-0"));
    CHECK(ledger.machine().cards.size() == 1);
  }
  Ledger all;
  all.take(two_cards(), kStart);
  CHECK(all.devices().size() == 2);
  CHECK_FALSE(all.machine().driver_away);
  auto silent = two_cards();
  silent.survey.driver.reset();
  all.take(std::move(silent), kStart);
  CHECK(all.machine().driver_away);
  CHECK_FALSE(Ledger().machine().driver_away);  // there never was one
}

TEST_CASE("a GPU on which somebody else computes is withheld, one of the job that holds it is not") {
  Ledger ledger;
  ledger.hold("ada-1"_job, {"GPU-0"}, kStart);
  auto look = two_cards();
  add_process(look, 0, 10, "ada-1", 3_GiB);
  add_process(look, 1, 11, "", 2_GiB);
  ledger.take(look, kStart);
  CHECK(withheld(ledger, 0) == "");
  CHECK(withheld(ledger, 1) == "used by pid 11 (python3 of alice, 2.0 GiB), which is no job's");
  CHECK(ledger.devices()[1].withheld.has_value());
  CHECK(ledger.holders_of("GPU-0") == std::vector<model::JobId>{"ada-1"_job});
}

TEST_CASE("a job on a GPU that it was not given makes it withheld") {
  Ledger ledger;
  ledger.hold("ada-1"_job, {"GPU-0"}, kStart);
  auto look = two_cards();
  add_process(look, 1, 10, "ada-1", 3_GiB);
  ledger.take(look, kStart);
  CHECK(withheld(ledger, 1) == "used by the job ada-1, which was not given it");
}

TEST_CASE("memory that an ended job has left withholds its GPU until it is back") {
  Ledger ledger;
  ledger.hold("ada-1"_job, {"GPU-0"}, kStart);
  auto look = two_cards();
  add_process(look, 0, 10, "ada-1", 3_GiB);
  ledger.take(look, kStart);
  CHECK_FALSE(ledger.is_memory_back("ada-1"_job));
  REQUIRE(ledger.give_back("ada-1"_job, kStart + 1s));
  CHECK(withheld(ledger, 0) == "memory of the job ada-1 is not back yet (3.0 GiB)");
  ledger.take(two_cards(), kStart + 2s);
  CHECK(ledger.is_memory_back("ada-1"_job));
  CHECK(withheld(ledger, 0) == "");
  CHECK_FALSE(ledger.give_back("ada-1"_job, kStart + 3s));
}

TEST_CASE("what a job made of its GPUs is summed up until it gives them back") {
  Ledger ledger;
  ledger.take(two_cards(), kStart);
  ledger.hold("ada-1"_job, {"GPU-0", "GPU-1"}, kStart);
  auto look = two_cards();
  add_process(look, 0, 10, "ada-1", 3_GiB);
  add_process(look, 1, 10, "ada-1", 4_GiB);
  ledger.take(look, kStart + 5s);
  ledger.take(two_cards(), kStart + 10s);
  const auto stay = ledger.give_back("ada-1"_job, kStart + 12s);
  REQUIRE(stay);
  CHECK(stay->usage.gpu_time == 24s);
  CHECK(stay->usage.peak_memory == 7_GiB);
  CHECK(*stay->usage.mean_utilisation == doctest::Approx(50));
  CHECK_FALSE(stay->failure);
}

TEST_CASE("a fault that is not a program's is the holder's, once, and nobody else's") {
  Ledger ledger;
  ledger.hold("ada-1"_job, {"GPU-0"}, kStart);
  ledger.hold("ben-1"_job, {"GPU-1"}, kStart);
  auto look = two_cards();
  look.survey.faults = {{"GPU-1", 31}, {"GPU-0", 79}};
  look.survey.troubles = {{"GPU-0", {79, look.survey.driver}}};
  look.survey.gpus[0].withheld = "Xid 79 (the GPU has fallen off the bus)";
  const auto failures = ledger.take(look, kStart + 1s);
  REQUIRE(failures.size() == 1);
  CHECK(failures[0].first == "ada-1"_job);
  CHECK(failures[0].second == model::GpuError{"GPU 0", "GPU-0", 79, "Xid 79 (the GPU has fallen off the bus)"});
  CHECK(ledger.take(look, kStart + 2s).empty());
  CHECK(ledger.is_unwell("GPU-0"));
  CHECK(ledger.give_back("ada-1"_job, kStart + 3s)->failure->xid == 79);
  CHECK_FALSE(ledger.give_back("ben-1"_job, kStart + 3s)->failure);
}

TEST_CASE("a fault of a GPU is that of whoever holds an instance of it, and so is its vanishing") {
  Ledger ledger;
  ledger.hold("ada-1"_job, {"MIG-a"}, kStart);
  ledger.hold("ben-1"_job, {"GPU-1"}, kStart);
  auto look = two_cards();
  look.survey.gpus[0].uuid = "MIG-a";
  look.survey.gpus[0].mig = gpu::Mig{"GPU-0", "1g.10gb"};
  look.survey.troubles = {{"GPU-0", {48, look.survey.driver}}};
  look.survey.gpus[1].lost = true;
  look.survey.gpus[1].withheld = "it does not answer any more";
  const auto failures = ledger.take(look, kStart + 1s);
  REQUIRE(failures.size() == 2);
  CHECK(failures[0].second.gpu == "GPU 0 MIG 1g.10gb");
  CHECK(failures[0].second.xid == 48);
  CHECK(failures[1].first == "ben-1"_job);
  CHECK(failures[1].second == model::GpuError{"GPU 1", "GPU-1", 0, "it does not answer any more"});
}

TEST_CASE("a GPU that was held before the agent came and is not there has failed, where NVML answers") {
  Ledger ledger;
  ledger.hold("ada-1"_job, {"GPU-9"}, kStart);
  auto look = two_cards();
  look.survey.driver.reset();
  CHECK(ledger.take(look, kStart + 1s).empty());
  const auto failures = ledger.take(two_cards(), kStart + 2s);
  REQUIRE(failures.size() == 1);
  CHECK(failures[0].second.uuid == "GPU-9");
}

TEST_CASE("device rules leave a job its own GPUs, and are empty without GPUs") {
  Ledger ledger;
  CHECK(ledger.rules_for({}).empty());
  ledger.take(two_cards(), kStart);
  CHECK(ledger.rules_for({"GPU-1"}).at(195).contains(1));
  CHECK_FALSE(ledger.rules_for({"GPU-1"}).at(195).contains(0));
  CHECK_FALSE(ledger.rules_for({}).at(195).contains(1));
}

TEST_CASE("an Xid that was told before the agent came is still the failure of who holds the GPU") {
  Ledger ledger;
  auto look = two_cards();
  look.survey.troubles = {{"GPU-0", {79, look.survey.driver}}};
  ledger.take(look, kStart);
  ledger.hold("ada-1"_job, {"GPU-0"}, kStart + 1s);
  REQUIRE(ledger.take(look, kStart + 2s).size() == 1);
  CHECK(ledger.give_back("ada-1"_job, kStart + 3s)->failure->xid == 79);
}

TEST_CASE("what the operator withholds is handed out to nobody until he forgives it; who has it keeps it") {
  Ledger ledger;
  ledger.take(two_cards(), kStart);
  ledger.hold("ada-1"_job, {"GPU-1"}, kStart);
  ledger.drain(ledger.resolve("1"), {"root", "its fan is loud"});
  ledger.drain(ledger.resolve("GPU-0"), {"ben", ""});
  CHECK(withheld(ledger, 0) == "taken out of use by ben");
  CHECK(withheld(ledger, 1) == "taken out of use by root: its fan is loud");
  CHECK(ledger.devices()[1].withheld == withheld(ledger, 1));
  CHECK_FALSE(ledger.is_unwell("GPU-1"));
  CHECK(ledger.holders_of("GPU-1") == std::vector<model::JobId>{"ada-1"_job});
  ledger.take(two_cards(), kStart + 1s);
  CHECK_FALSE(withheld(ledger, 1).empty());
  ledger.resume(ledger.resolve("1"));
  CHECK(withheld(ledger, 1) == "");
  CHECK(ledger.withheld().size() == 1);
}

TEST_CASE("a GPU is withheld with its instances, and they are forgiven with it; an instance can be withheld alone") {
  Ledger ledger;
  auto look = two_cards();
  look.survey.gpus[0].uuid = "MIG-a";
  look.survey.gpus[1].uuid = "MIG-b";
  look.survey.gpus[1].index = 0;
  for (auto& gpu : look.survey.gpus) gpu.mig = gpu::Mig{"GPU-0", "1g.10gb"};
  ledger.take(look, kStart);
  ledger.drain(ledger.resolve("MIG-b"), {"root", ""});
  CHECK(withheld(ledger, 0) == "");
  CHECK_FALSE(withheld(ledger, 1).empty());
  ledger.drain(ledger.resolve("0"), {"root", "whole"});
  CHECK(withheld(ledger, 0) == "taken out of use by root: whole");
  CHECK_THROWS_AS(ledger.resume(ledger.resolve("MIG-a")), Error);
  CHECK_FALSE(withheld(ledger, 0).empty());
  ledger.resume(ledger.resolve("GPU-0"));
  CHECK(withheld(ledger, 0) == "");
  CHECK(withheld(ledger, 1) == "");
  CHECK(ledger.withheld().empty());
}

TEST_CASE("an instance of a GPU after an Xid is not forgiven alone") {
  Ledger ledger;
  auto look = two_cards();
  look.survey.gpus[0].uuid = "MIG-a";
  look.survey.gpus[0].mig = gpu::Mig{"GPU-0", "1g.10gb"};
  look.survey.troubles = {{"GPU-0", {48, look.survey.driver}}};
  ledger.take(look, kStart);
  CHECK_THROWS_AS(ledger.resume(ledger.resolve("MIG-a")), Error);
}

TEST_CASE("the operator names a GPU by its number, its UUID or the beginning of one, if only one has it") {
  Ledger ledger;
  auto look = two_cards();
  look.survey.gpus[0].uuid = "GPU-0";
  look.survey.gpus[1].uuid = "GPU-01";
  ledger.take(look, kStart);
  CHECK(ledger.resolve("1").uuid == "GPU-01");
  CHECK(ledger.resolve("GPU-0").uuid == "GPU-0");
  CHECK(ledger.resolve("GPU-01").label == "GPU 1");
  for (const auto* name : {"", "2", "gpu-0", "GPU-02", "-1"}) {
    CAPTURE(name);
    CHECK_THROWS_WITH_AS(ledger.resolve(name), doctest::Contains("there is no GPU"), Error);
  }
  CHECK_THROWS_WITH_AS(ledger.resolve("GPU-"), doctest::Contains("ambiguous"), Error);
}

TEST_CASE("a GPU that is gone can be forgiven what was said of it") {
  Ledger ledger;
  ledger.set_withheld({{"GPU-9", {"root", ""}}});
  ledger.take(two_cards(), kStart);
  ledger.resume(ledger.resolve("GPU-9"));
  CHECK(ledger.withheld().empty());
}
