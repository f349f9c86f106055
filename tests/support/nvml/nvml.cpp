// NVML for tests: see README.md. Answers by the binary interface of runtime/gpu/nvml_abi.hpp.

#include <sys/stat.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <map>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <set>
#include <string>

#include "runtime/gpu/nvml_abi.hpp"

namespace {

using namespace berth::gpu::nvml;
using nlohmann::json;

// What a handle points at: for ever, as handles may outlive their GPU.
struct Handle {
  std::string uuid;
  std::string parent;  // of an instance
};

struct Events {
  std::map<std::string, std::size_t> told;  // by registered GPU: how many of its Xids
};

class Script {
 public:
  std::mutex mutex;

  // What the file says now; the last good contents while it is being written.
  const json& machine() {
    struct stat now {};
    const char* path = std::getenv("BERTH_TEST_NVML");
    if (path == nullptr || ::stat(path, &now) != 0) return machine_ = json::object({{"init", kDriverNotLoaded}});
    const auto stamp = std::make_tuple(now.st_ino, now.st_size, now.st_mtim.tv_sec, now.st_mtim.tv_nsec);
    if (stamp == stamp_) return machine_;
    std::ifstream file(path);
    auto read = json::parse(file, nullptr, false);
    if (!read.is_discarded()) {
      machine_ = std::move(read);
      stamp_ = stamp;
    }
    return machine_;
  }

  json gpus() { return machine().value("gpus", json::array()); }

  Device handle(const std::string& uuid, const std::string& parent) {
    auto& handle = handles_[uuid];
    if (!handle) handle = std::make_unique<Handle>(Handle{uuid, parent});
    return reinterpret_cast<Device>(handle.get());
  }

  // The GPU or instance, and the GPU that it is part of; null when it is no longer there.
  std::pair<json, json> find(Device device) {
    const auto& handle = *reinterpret_cast<Handle*>(device);
    for (const auto& gpu : gpus()) {
      if (gpu.at("uuid") == handle.uuid) return {gpu, gpu};
      if (gpu.at("uuid") != handle.parent) continue;
      for (const auto& instance : gpu.value("mig", json::array()))
        if (instance.at("uuid") == handle.uuid) return {instance, gpu};
    }
    return {nullptr, nullptr};
  }

 private:
  json machine_ = json::object();
  std::tuple<ino_t, off_t, time_t, long> stamp_{};
  std::map<std::string, std::unique_ptr<Handle>> handles_;
};

Script& script() {
  static Script script;
  return script;
}

// Runs `answer` with the device's description and its GPU's, unless it fails.
template <class F>
Return ask(Device device, F answer) {
  const std::lock_guard lock(script().mutex);
  if (device == nullptr) return kInvalidArgument;
  const auto [described, gpu] = script().find(device);
  if (described.is_null() || gpu.value("gone", false)) return kGpuIsLost;
  if (const int fails = gpu.value("fails", kSuccess); fails != kSuccess) return fails;
  return answer(described, gpu);
}

Return write(const std::string& text, char* buffer, unsigned size) {
  if (text.size() >= size) return kInsufficientSize;
  std::memcpy(buffer, text.c_str(), text.size() + 1);
  return kSuccess;
}

template <class Info>
Return write_processes(Device device, unsigned* count, Info* infos) {
  return ask(device, [&](const json& described, const json&) {
    const auto processes = described.value("processes", json::array());
    const unsigned room = *count;
    *count = static_cast<unsigned>(processes.size());
    if (*count > room) return kInsufficientSize;
    for (std::size_t i = 0; i < processes.size(); ++i) {
      infos[i] = {};
      infos[i].pid = processes[i].at("pid").template get<unsigned>();
      infos[i].memory = processes[i].value("memory", kNotAvailable);
    }
    return kSuccess;
  });
}

}  // namespace

extern "C" {

Return nvmlInit_v2() {
  const std::lock_guard lock(script().mutex);
  return script().machine().value("init", kSuccess);
}

Return nvmlShutdown() { return kSuccess; }

const char* nvmlErrorString(Return result) {
  switch (result) {
    case kDriverNotLoaded:
      return "Driver Not Loaded";
    case kGpuIsLost:
      return "GPU is lost";
    case kLibraryMismatch:
      return "Driver/library version mismatch";
    case kNotSupported:
      return "Not Supported";
    default:
      return "Unknown Error";
  }
}

Return nvmlSystemGetDriverVersion(char* buffer, unsigned size) {
  const std::lock_guard lock(script().mutex);
  return write(script().machine().value("driver", "550.54.14"), buffer, size);
}

Return nvmlSystemGetCudaDriverVersion(int* version) {
  const std::lock_guard lock(script().mutex);
  *version = script().machine().value("cuda", 12040);
  return kSuccess;
}

Return nvmlDeviceGetCount_v2(unsigned* count) {
  const std::lock_guard lock(script().mutex);
  const auto result = script().machine().value("init", kSuccess);
  const auto gpus = script().gpus();
  *count = static_cast<unsigned>(
      std::count_if(gpus.begin(), gpus.end(), [](const json& gpu) { return !gpu.value("gone", false); }));
  return result;
}

Return nvmlDeviceGetHandleByIndex_v2(unsigned index, Device* device) {
  const std::lock_guard lock(script().mutex);
  for (const auto& gpu : script().gpus()) {
    if (gpu.value("gone", false)) continue;
    if (index-- > 0) continue;
    *device = script().handle(gpu.at("uuid"), "");
    return gpu.value("fails", kSuccess);
  }
  return kInvalidArgument;
}

Return nvmlDeviceGetUUID(Device device, char* buffer, unsigned size) {
  return ask(device, [&](const json& described, const json&) { return write(described.at("uuid"), buffer, size); });
}

Return nvmlDeviceGetName(Device device, char* buffer, unsigned size) {
  return ask(device, [&](const json&, const json& gpu) { return write(gpu.value("name", "GPU"), buffer, size); });
}

Return nvmlDeviceGetBrand(Device device, int* brand) {
  return ask(device, [&](const json&, const json& gpu) {
    *brand = gpu.value("brand", 0);
    return kSuccess;
  });
}

Return nvmlDeviceGetMinorNumber(Device device, unsigned* number) {
  return ask(device, [&](const json&, const json& gpu) {
    if (!gpu.contains("minor")) return kNotSupported;
    *number = gpu.at("minor").get<unsigned>();
    return kSuccess;
  });
}

Return nvmlDeviceGetCudaComputeCapability(Device device, int* major_number, int* minor_number) {
  return ask(device, [&](const json&, const json& gpu) {
    const auto capability = gpu.value("capability", json::array({8, 0}));
    *major_number = capability.at(0);
    *minor_number = capability.at(1);
    return kSuccess;
  });
}

Return nvmlDeviceGetComputeMode(Device device, unsigned* mode) {
  return ask(device, [&](const json&, const json& gpu) {
    *mode = gpu.value("compute_mode", 0U);
    return kSuccess;
  });
}

Return nvmlDeviceGetUtilizationRates(Device device, Utilization* rates) {
  return ask(device, [&](const json& described, const json& gpu) {
    if (described != gpu) return kNotSupported;
    *rates = {gpu.value("utilization", 0U), 0};
    return kSuccess;
  });
}

Return nvmlDeviceGetTotalEccErrors(Device device, unsigned type, unsigned counter, std::uint64_t* errors) {
  return ask(device, [&](const json&, const json& gpu) {
    if (!gpu.contains("ecc")) return kNotSupported;
    *errors = type == kEccUncorrected && counter == kEccVolatile ? gpu.at("ecc").get<std::uint64_t>() : 0;
    return kSuccess;
  });
}

Return nvmlDeviceGetMemoryInfo(Device device, Memory* memory) {
  return ask(device, [&](const json& described, const json&) {
    const auto total = described.contains("memory_mib") ? described.at("memory_mib").get<std::uint64_t>() << 20
                                                        : described.value("memory", std::uint64_t{24} << 30);
    const auto used = described.value("used", std::uint64_t{0});
    *memory = {total, total - used, used};
    return kSuccess;
  });
}

#ifndef BERTH_OLD_NVML

Return nvmlDeviceGetMemoryInfo_v2(Device device, MemoryV2* memory) {
  if (memory->version != kMemoryV2) return kInvalidArgument;
  Memory older{};
  const auto result = nvmlDeviceGetMemoryInfo(device, &older);
  *memory = {kMemoryV2, older.total, 0, older.free, older.used};
  return result;
}

Return nvmlDeviceGetComputeRunningProcesses_v3(Device device, unsigned* count, Process* infos) {
  return write_processes(device, count, infos);
}

Return nvmlDeviceGetRemappedRows(Device device, unsigned* correctable, unsigned* uncorrectable, unsigned* pending,
                                 unsigned* failed) {
  return ask(device, [&](const json&, const json& gpu) {
    if (!gpu.contains("remapped")) return kNotSupported;
    const auto& rows = gpu.at("remapped");
    *correctable = rows.at(0);
    *uncorrectable = rows.at(1);
    *pending = rows.at(2);
    *failed = rows.at(3);
    return kSuccess;
  });
}

Return nvmlDeviceGetMigMode(Device device, unsigned* current, unsigned* pending) {
  return ask(device, [&](const json&, const json& gpu) {
    *current = *pending = gpu.contains("mig") ? kMigEnabled : 0;
    return kSuccess;
  });
}

Return nvmlDeviceGetMaxMigDeviceCount(Device device, unsigned* count) {
  constexpr unsigned kMost = 7;
  return ask(device, [&](const json&, const json&) {
    *count = kMost;
    return kSuccess;
  });
}

Return nvmlDeviceGetMigDeviceHandleByIndex(Device device, unsigned index, Device* instance) {
  return ask(device, [&](const json&, const json& gpu) {
    const auto instances = gpu.value("mig", json::array());
    if (index >= instances.size()) return kNotFound;
    *instance = script().handle(instances[index].at("uuid"), gpu.at("uuid"));
    return kSuccess;
  });
}

Return nvmlDeviceGetGpuInstanceId(Device device, unsigned* id) {
  return ask(device, [&](const json& described, const json&) {
    *id = described.value("gi", 0U);
    return kSuccess;
  });
}

Return nvmlDeviceGetComputeInstanceId(Device device, unsigned* id) {
  return ask(device, [&](const json& described, const json&) {
    *id = described.value("ci", 0U);
    return kSuccess;
  });
}

Return nvmlDeviceGetAttributes_v2(Device device, Attributes* attributes) {
  return ask(device, [&](const json& described, const json&) {
    const auto slices = described.value("slices", json::array({1, 1}));
    *attributes = {};
    attributes->gpu_instance_slices = slices.at(0);
    attributes->compute_instance_slices = slices.at(1);
    attributes->memory_mib = described.value("memory_mib", std::uint64_t{0});
    return kSuccess;
  });
}

Return nvmlEventSetCreate(EventSet* set) {
  *set = reinterpret_cast<EventSet>(new Events);
  return kSuccess;
}

Return nvmlDeviceRegisterEvents(Device device, std::uint64_t types, EventSet set) {
  return ask(device, [&](const json&, const json& gpu) {
    if ((types & kEventXid) != 0) reinterpret_cast<Events*>(set)->told.emplace(gpu.at("uuid"), 0);
    return kSuccess;
  });
}

Return nvmlEventSetWait_v2(EventSet set, Event* event, unsigned) {
  const std::lock_guard lock(script().mutex);
  for (auto& [uuid, told] : reinterpret_cast<Events*>(set)->told) {
    for (const auto& gpu : script().gpus()) {
      const auto xids = gpu.value("xids", json::array());
      if (gpu.at("uuid") != uuid || told >= xids.size()) continue;
      *event = {script().handle(uuid, ""), kEventXid, xids[told++].get<std::uint64_t>(), ~0U, ~0U};
      return kSuccess;
    }
  }
  return kTimeout;
}

Return nvmlEventSetFree(EventSet set) {
  delete reinterpret_cast<Events*>(set);
  return kSuccess;
}

#else

Return nvmlDeviceGetComputeRunningProcesses(Device device, unsigned* count, ProcessV1* infos) {
  return write_processes(device, count, infos);
}

#endif

}  // extern "C"
