#pragma once

// The machine that the scripted NVML of tests/support/nvml answers for, which a test may change while it is looked at.
// One at a time.

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>

#include "runtime/os/file.hpp"

namespace berth::fakes {

class GpuMachine {
 public:
  using Json = nlohmann::json;

  explicit GpuMachine(Json machine) : machine_(std::move(machine)) {
    write();
    ::setenv("BERTH_TEST_NVML", path().c_str(), 1);
  }
  GpuMachine(const GpuMachine&) = delete;
  GpuMachine& operator=(const GpuMachine&) = delete;
  ~GpuMachine() { ::unsetenv("BERTH_TEST_NVML"); }

  // Both as tests/support/nvml/README.md has them; what is written to them is seen after write().
  Json& gpu(std::size_t number) { return machine_["gpus"][number]; }
  Json& operator[](const char* key) { return machine_[key]; }
  void write() {
    const auto next = path() + "." + std::to_string(++version_);
    std::ofstream(next) << machine_.dump();
    std::filesystem::rename(next, path());
  }
  void change(const std::function<void(Json&)>& change) {
    change(machine_);
    write();
  }
  std::string path() const { return directory_.path() + "/machine.json"; }
  const std::string& directory() const { return directory_.path(); }

  static Json h100(unsigned number) {
    return {{"uuid", "GPU-" + std::to_string(number)},
            {"name", "NVIDIA H100 80GB HBM3"},
            {"brand", 14},
            {"minor", number},
            {"capability", {9, 0}},
            {"memory", 80ULL << 30},
            {"used", 1ULL << 30},
            {"utilization", 10 * number},
            {"ecc", 0},
            {"remapped", {0, 0, 0, 0}}};
  }
  // So many of these.
  static Json h100s(unsigned count) {
    Json machine{{"driver", "550.54.14"}, {"cuda", 12040}, {"gpus", Json::array()}};
    for (unsigned number = 0; number < count; ++number) machine["gpus"].push_back(h100(number));
    return machine;
  }

 private:
  os::TempDir directory_;
  Json machine_;
  int version_ = 0;
};

}  // namespace berth::fakes
