#include "runtime/gpu/nvml.hpp"

#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <thread>

#include "tests/fakes/gpu_machine.hpp"

using namespace berth;
using namespace berth::gpu;
using fakes::GpuMachine;
using nlohmann::json;

namespace {

const std::string kLibraries = BERTH_TEST_LIB;

json instance(const std::string& uuid, unsigned gi, unsigned slices, unsigned memory_mib) {
  return {{"uuid", uuid}, {"gi", gi}, {"ci", 0}, {"slices", {slices, slices}}, {"memory_mib", memory_mib}};
}

// 8 × H100, the last of them in MIG mode.
json server() {
  auto machine = GpuMachine::h100s(8);
  machine["gpus"][7]["mig"] = {instance("MIG-a", 1, 3, 40192), instance("MIG-b", 7, 1, 9856)};
  return machine;
}

json workstation() {
  return {{"driver", "535.54.03"},
          {"cuda", 12020},
          {"gpus",
           {{{"uuid", "GPU-w"},
             {"name", "NVIDIA GeForce RTX 4090"},
             {"brand", 5},
             {"minor", 0},
             {"capability", {8, 9}},
             {"processes", {{{"pid", 4242}, {"memory", 2ULL << 30}}, {{"pid", 4243}}}}}}}};
}

Nvml scripted(const std::string& library = "nvml.so", std::string capabilities = "/none") {
  return Nvml({.library = kLibraries + "/" + library, .capabilities = std::move(capabilities)});
}

std::string withheld(const Survey& survey, std::size_t number) { return survey.gpus.at(number).withheld.value_or(""); }

}  // namespace

TEST_CASE("a machine without NVML has no GPUs, and says why") {
  Nvml nvml({.library = "libno-such-nvml.so.1"});
  for (int i = 0; i < 2; ++i) {
    const auto survey = nvml.survey();
    CHECK(survey.gpus.empty());
    CHECK_FALSE(survey.driver);
    REQUIRE(survey.notes.size() == 1);
    CHECK(survey.notes[0].find("NVML cannot be loaded: libno-such-nvml.so.1") == 0);
    CHECK(survey.notes[0].find("install the NVIDIA driver") != std::string::npos);
  }
}

TEST_CASE("a library that is no NVML is refused in words") {
  const auto survey = Nvml({.library = "libm.so.6"}).survey();
  REQUIRE(survey.notes.size() == 1);
  CHECK(survey.notes[0].find("NVML in libm.so.6 lacks functions") == 0);
}

TEST_CASE("a driver that is not loaded, or is another than the library, is told; once it works it is used") {
  GpuMachine machine(workstation());
  machine.change([](json& m) { m["init"] = 9; });
  auto nvml = scripted();
  auto survey = nvml.survey();
  CHECK(survey.gpus.empty());
  REQUIRE(survey.notes.size() == 1);
  CHECK(survey.notes[0].find("the NVIDIA driver does not answer: Driver Not Loaded") == 0);
  machine.change([](json& m) { m["init"] = 18; });
  survey = nvml.survey();
  CHECK(survey.notes.at(0).find("reboot") != std::string::npos);
  machine.change([](json& m) { m.erase("init"); });
  survey = nvml.survey();
  CHECK(survey.notes.empty());
  CHECK(survey.gpus.size() == 1);
}

TEST_CASE("a server's GPUs and MIG instances are listed with all that is known of them") {
  GpuMachine machine(server());
  const auto caps = machine.directory() + "/caps";
  const auto tell = [&](const std::string& path, int number) {
    std::filesystem::create_directories(caps + path);
    std::ofstream(caps + path + "/access") << "DeviceFileMinor: " << number << "\nDeviceFileMode: 256\n";
  };
  tell("/gpu7/mig/gi1", 30);
  tell("/gpu7/mig/gi1/ci0", 31);
  auto nvml = scripted("nvml.so", caps);
  const auto survey = nvml.survey();
  CHECK(survey.driver == Version{550, 54, 14});
  CHECK(survey.cuda == Version{12, 4, 0});
  REQUIRE(survey.gpus.size() == 9);
  const Gpu third{.uuid = "GPU-3",
                  .index = 3,
                  .name = "NVIDIA H100 80GB HBM3",
                  .brand = "nvidia",
                  .capability = {9, 0, 0},
                  .memory = 80_GiB,
                  .mig = std::nullopt,
                  .device_paths = {"/dev/nvidia3"},
                  .withheld = std::nullopt,
                  .processes = {},
                  .used = 1_GiB,
                  .utilisation = 30};
  CHECK(survey.gpus[3] == third);
  const auto& a = survey.gpus[7];
  CHECK(a.uuid == "MIG-a");
  CHECK(a.mig == Mig{"GPU-7", "3g.40gb"});
  CHECK(a.label() == "GPU 7 MIG 3g.40gb");
  CHECK(a.memory == ByteSize(40192ULL << 20));
  CHECK(a.device_paths ==
        std::vector<std::string>{"/dev/nvidia7", "/dev/nvidia-caps/nvidia-cap30", "/dev/nvidia-caps/nvidia-cap31"});
  CHECK_FALSE(a.utilisation);
  CHECK(survey.gpus[8].mig == Mig{"GPU-7", "1g.10gb"});
}

TEST_CASE("a consumer card tells its processes, also where the driver does not tell their memory") {
  GpuMachine machine(workstation());
  for (const auto* library : {"nvml.so", "nvml_old.so"}) {
    CAPTURE(library);
    auto nvml = scripted(library);
    const auto survey = nvml.survey();
    REQUIRE(survey.gpus.size() == 1);
    const auto& gpu = survey.gpus[0];
    CHECK(gpu.brand == "geforce");
    CHECK_FALSE(gpu.withheld);
    CHECK(gpu.processes == std::vector<Process>{{4242, 2_GiB}, {4243, std::nullopt}});
    CHECK(gpu.memory == 24_GiB);
    CHECK(survey.notes.empty());
  }
}

TEST_CASE("more processes than expected are all read") {
  GpuMachine machine(workstation());
  for (unsigned i = 0; i < 300; ++i) machine.gpu(0)["processes"].push_back({{"pid", 10'000 + i}});
  machine.write();
  CHECK(scripted().survey().gpus.at(0).processes.size() == 302);
}

TEST_CASE("ECC errors, row remapping and a prohibited compute mode withhold a GPU") {
  GpuMachine machine(server());
  machine.gpu(0)["ecc"] = 2;
  machine.gpu(1)["remapped"] = {0, 1, 1, 0};
  machine.gpu(2)["remapped"] = {0, 9, 0, 1};
  machine.gpu(3)["compute_mode"] = 2;
  machine.gpu(7)["ecc"] = 1;
  machine.write();
  const auto survey = scripted().survey();
  CHECK(withheld(survey, 0) == "2 uncorrected memory errors (ECC) since the driver was loaded");
  CHECK(withheld(survey, 1) == "memory rows wait to be remapped: nvidia-smi --gpu-reset");
  CHECK(withheld(survey, 2) == "memory rows could not be remapped: the GPU is worn out");
  CHECK(withheld(survey, 3).find("prohibited") != std::string::npos);
  CHECK(withheld(survey, 4).empty());
  CHECK(withheld(survey, 8) == "1 uncorrected memory error (ECC) since the driver was loaded");  // its GPU's
}

TEST_CASE("an Xid withholds its GPU until it is forgiven; a program's fault is told and does not") {
  GpuMachine machine(server());
  auto nvml = scripted();
  CHECK(nvml.survey().faults.empty());
  machine.gpu(2)["xids"] = {31};
  machine.gpu(7)["xids"] = {79};
  machine.write();
  auto survey = nvml.survey();
  CHECK(survey.faults == std::vector<Fault>{{"GPU-2", 31}, {"GPU-7", 79}});
  CHECK(withheld(survey, 2).empty());
  CHECK(withheld(survey, 7).find("Xid 79 (the GPU has fallen off the bus)") == 0);
  CHECK(withheld(survey, 8) == withheld(survey, 7));  // both instances
  survey = nvml.survey();
  CHECK(survey.faults.empty());
  CHECK_FALSE(withheld(survey, 7).empty());
  CHECK(survey.troubles == std::map<std::string, Trouble>{{"GPU-7", {79, Version{550, 54, 14}}}});
  nvml.forgive("GPU-7");
  survey = nvml.survey();
  CHECK(withheld(survey, 7).empty());
  CHECK(survey.troubles.empty());
}

TEST_CASE("an Xid counts until another driver is loaded") {
  GpuMachine machine(server());
  auto nvml = scripted();
  nvml.survey();
  machine.gpu(2)["xids"] = {48};
  machine.write();
  CHECK_FALSE(withheld(nvml.survey(), 2).empty());
  machine.change([](json& m) { m["init"] = 9; });
  CHECK_FALSE(withheld(nvml.survey(), 2).empty());
  machine.change([](json& m) {
    m.erase("init");
    m["driver"] = "560.1";
    m["gpus"][2].erase("xids");
  });
  CHECK(withheld(nvml.survey(), 2).empty());
}

TEST_CASE("what an earlier session saw is taken up: Xids, GPUs that are gone, and the numbers of the others") {
  GpuMachine machine(server());
  machine.gpu(0)["gone"] = true;
  machine.write();
  auto known = scripted().survey().gpus;
  for (auto& gpu : known) gpu.index = gpu.mig ? 7 : static_cast<unsigned>(std::stoul(gpu.uuid.substr(4)));
  Gpu gone;
  gone.uuid = "GPU-0";
  gone.memory = 80_GiB;
  known.push_back(gone);
  auto nvml = scripted();
  nvml.recall(known, {{"GPU-5", {79, Version{550, 54, 14}}}, {"GPU-6", {48, Version{535, 1, 0}}}});
  const auto survey = nvml.survey();
  REQUIRE(survey.gpus.size() == 9);
  CHECK(survey.gpus[0].lost);
  CHECK(withheld(survey, 0).find("does not answer any more") != std::string::npos);
  CHECK(survey.gpus[1].uuid == "GPU-1");
  CHECK(survey.gpus[1].index == 1);
  CHECK(withheld(survey, 5).find("Xid 79") == 0);
  CHECK(withheld(survey, 6).empty());  // the driver that told it is not the one that runs
}

TEST_CASE("a GPU that is gone is forgotten when it is forgiven, and the others keep their numbers") {
  GpuMachine machine(server());
  auto nvml = scripted();
  nvml.survey();
  machine.gpu(0)["gone"] = true;
  machine.write();
  CHECK(nvml.survey().gpus.size() == 9);
  nvml.forgive("GPU-1");
  nvml.forgive("GPU-0");
  const auto survey = nvml.survey();
  REQUIRE(survey.gpus.size() == 8);
  CHECK(survey.gpus[0].uuid == "GPU-1");
  CHECK(survey.gpus[0].index == 1);
}

TEST_CASE("a driver is expected where NVML is installed, and nowhere else") {
  CHECK_FALSE(Nvml({.library = "libno-such-nvml.so.1"}).survey().driver_expected);
  GpuMachine machine(workstation());
  CHECK_FALSE(scripted().survey().driver_expected);
  machine.change([](json& m) { m["init"] = 9; });
  CHECK(scripted().survey().driver_expected);
}

TEST_CASE("a GPU that dies stays listed as withheld, whether it answers with errors or is gone") {
  GpuMachine machine(server());
  auto nvml = scripted();
  REQUIRE(nvml.survey().gpus.size() == 9);
  machine.gpu(0)["fails"] = 15;
  machine.gpu(1)["gone"] = true;
  machine.gpu(7)["fails"] = 15;
  machine.write();
  for (int i = 0; i < 2; ++i) {
    const auto survey = nvml.survey();
    REQUIRE(survey.gpus.size() == 9);
    for (const std::size_t dead : {0U, 1U, 7U, 8U}) {
      CHECK(withheld(survey, dead).find("does not answer any more") != std::string::npos);
      CHECK_FALSE(survey.gpus[dead].used);
    }
    CHECK(survey.gpus[0].memory == 80_GiB);
    CHECK(withheld(survey, 2).empty());
    CHECK(survey.notes.at(0) == "GPU 0 does not answer: GPU is lost");
  }
  machine.gpu(0).erase("fails");
  machine.write();
  CHECK(withheld(nvml.survey(), 0).empty());
}

TEST_CASE("when the driver goes away all GPUs are withheld, and come back with it") {
  GpuMachine machine(server());
  auto nvml = scripted();
  nvml.survey();
  machine.change([](json& m) { m["init"] = 9; });
  const auto survey = nvml.survey();
  REQUIRE(survey.gpus.size() == 9);
  for (std::size_t i = 0; i < 9; ++i) CHECK_FALSE(withheld(survey, i).empty());
  machine.change([](json& m) { m.erase("init"); });
  CHECK(withheld(nvml.survey(), 0).empty());
}

TEST_CASE("instances that the administrator takes away are not lost ones") {
  GpuMachine machine(server());
  auto nvml = scripted();
  nvml.survey();
  machine.gpu(7)["mig"] = json::array();
  machine.write();
  auto survey = nvml.survey();
  CHECK(survey.gpus.size() == 7);
  CHECK(survey.notes.at(0).find("GPU 7 is in MIG mode and has no instances") == 0);
  machine.gpu(7).erase("mig");
  machine.write();
  survey = nvml.survey();
  REQUIRE(survey.gpus.size() == 8);
  CHECK(survey.gpus[7].uuid == "GPU-7");
}

TEST_CASE("surveys from several threads do not disturb each other") {
  GpuMachine machine(server());
  auto nvml = scripted();
  std::vector<std::thread> threads;
  std::array<std::size_t, 4> seen{};
  for (auto& count : seen)
    threads.emplace_back([&nvml, &count] {
      for (int i = 0; i < 20; ++i) count += nvml.survey().gpus.size();
    });
  for (auto& thread : threads) thread.join();
  for (const auto count : seen) CHECK(count == 20 * 9);
}
