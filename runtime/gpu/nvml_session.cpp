#include "runtime/gpu/nvml_session.hpp"

#include <algorithm>
#include <array>
#include <fstream>

#include "runtime/base/error.hpp"

namespace berth::gpu::nvml {
namespace {

constexpr std::array<const char*, 17> kBrands{
    "unknown", "quadro", "tesla",       "nvs",       "grid",      "geforce", "titan",      "vapps",   "vpc",
    "vcs",     "vws",    "cloudgaming", "quadrortx", "nvidiartx", "nvidia",  "geforcertx", "titanrtx"};

const char* brand_name(int brand) {
  return brand >= 0 && brand < static_cast<int>(kBrands.size()) ? kBrands.at(static_cast<std::size_t>(brand))
                                                                : "unknown";
}

void withhold(Gpu& gpu, const std::string& why) {
  if (!gpu.withheld) gpu.withheld = why;
}

// "DeviceFileMinor: 12" of a capability's file.
std::optional<unsigned> device_minor(const std::string& path) {
  std::ifstream file(path);
  std::string key;
  unsigned number = 0;
  while (file >> key)
    if (key == "DeviceFileMinor:" && file >> number) return number;
  return std::nullopt;
}

// "1g.10gb": slices, and memory in whole GB of marketing, which rounds up.
std::string profile_name(const Attributes& attributes) {
  constexpr std::uint64_t kMibPerGb = 1024;
  const auto gb = (attributes.memory_mib + kMibPerGb - 1) / kMibPerGb;
  const auto memory = "g." + std::to_string(gb) + "gb";
  const auto gpu = std::to_string(attributes.gpu_instance_slices);
  if (attributes.compute_instance_slices == attributes.gpu_instance_slices) return gpu + memory;
  return std::to_string(attributes.compute_instance_slices) + "c." + gpu + memory;
}

}  // namespace

Session::Session(const std::string& library, std::string capabilities)
    : library_(library), capabilities_(std::move(capabilities)) {
  if (const auto result = library_.init(); result != kSuccess) {
    std::string hint = "load the NVIDIA driver: modprobe nvidia; nvidia-smi shows whether it works";
    if (result == kLibraryMismatch) hint = "the driver was updated while it ran: reboot";
    throw Error(Code::unavailable, "the NVIDIA driver does not answer: " + library_.description(result), hint);
  }
  if (library_.create_events(&events_) != kSuccess) events_ = nullptr;
}

Session::~Session() {
  if (events_ != nullptr) library_.free_events(events_);
  library_.shutdown();
}

std::set<std::string> Session::look(Survey& survey) {
  unsigned count = 0;
  if (const auto result = library_.count(&count); result != kSuccess)
    throw Error(Code::unavailable, "NVML cannot list GPUs: " + library_.description(result));
  read_versions(survey);
  std::set<std::string> answered;
  for (unsigned index = 0; index < count; ++index) {
    Device device = nullptr;
    std::array<char, kUuidSize> uuid{};
    auto result = library_.by_index(index, &device);
    if (result == kSuccess) result = library_.uuid(device, uuid.data(), kUuidSize);
    if (result != kSuccess) {
      survey.notes.push_back("GPU " + std::to_string(index) + " does not answer: " + library_.description(result));
      continue;
    }
    const std::string id = uuid.data();
    answered.insert(id);
    watch(device, id);
    read_device(device, index, id, survey);
  }
  collect_faults(survey);
  return answered;
}

void Session::read_versions(Survey& survey) const {
  std::array<char, kVersionSize> driver{};
  if (library_.driver_version(driver.data(), kVersionSize) == kSuccess) survey.driver = parse_version(driver.data());
  constexpr int kMajor = 1000;
  constexpr int kMinor = 10;
  int cuda = 0;
  if (library_.cuda_version(&cuda) == kSuccess) survey.cuda = Version{cuda / kMajor, cuda % kMajor / kMinor, 0};
}

void Session::read_device(Device device, unsigned index, const std::string& uuid, Survey& survey) {
  auto whole = read_whole(device, index, uuid);
  read_health(device, whole);
  if (is_in_mig_mode(device)) {
    read_instances(device, whole, survey);
  } else {
    read_use(device, whole);
    survey.gpus.push_back(std::move(whole));
  }
}

bool Session::is_in_mig_mode(Device device) const {
  unsigned current = 0;
  unsigned pending = 0;
  return library_.mig_mode(device, &current, &pending) == kSuccess && current == kMigEnabled;
}

Gpu Session::read_whole(Device device, unsigned index, const std::string& uuid) const {
  Gpu gpu;
  gpu.uuid = uuid;
  gpu.index = index;
  std::array<char, kNameSize> name{};
  if (library_.name(device, name.data(), kNameSize) == kSuccess) gpu.name = name.data();
  int brand = 0;
  gpu.brand = brand_name(library_.brand(device, &brand) == kSuccess ? brand : 0);
  if (library_.capability(device, &gpu.capability.first, &gpu.capability.second) != kSuccess) gpu.capability = {};
  unsigned minor_number = index;
  if (library_.minor_number(device, &minor_number) != kSuccess) minor_number = index;
  gpu.device_paths = {"/dev/nvidia" + std::to_string(minor_number)};
  return gpu;
}

void Session::read_instances(Device parent, const Gpu& whole, Survey& survey) const {
  unsigned most = 0;
  library_.most_mig_devices(parent, &most);
  unsigned minor_number = whole.index;
  library_.minor_number(parent, &minor_number);
  bool any = false;
  for (unsigned i = 0; i < most; ++i) {
    Device instance = nullptr;
    std::array<char, kUuidSize> uuid{};
    if (library_.mig_device(parent, i, &instance) != kSuccess) continue;
    if (library_.uuid(instance, uuid.data(), kUuidSize) != kSuccess) continue;
    auto gpu = whole;
    gpu.uuid = uuid.data();
    Attributes attributes{};
    const bool has_profile = library_.attributes(instance, &attributes) == kSuccess;
    gpu.mig = Mig{whole.uuid, has_profile ? profile_name(attributes) : "instance"};
    for (auto& path : instance_paths(instance, minor_number)) gpu.device_paths.push_back(std::move(path));
    read_use(instance, gpu);
    survey.gpus.push_back(std::move(gpu));
    any = true;
  }
  if (!any)
    survey.notes.push_back("GPU " + std::to_string(whole.index) +
                           " is in MIG mode and has no instances: make some with nvidia-smi mig, or switch it off");
}

std::vector<std::string> Session::instance_paths(Device instance, unsigned parent_minor) const {
  unsigned gpu_instance = 0;
  unsigned compute_instance = 0;
  if (library_.gpu_instance(instance, &gpu_instance) != kSuccess ||
      library_.compute_instance(instance, &compute_instance) != kSuccess)
    return {};
  const auto root = capabilities_ + "/gpu" + std::to_string(parent_minor) + "/mig/gi" + std::to_string(gpu_instance);
  std::vector<std::string> paths;
  for (const auto& file : {root + "/access", root + "/ci" + std::to_string(compute_instance) + "/access"})
    if (const auto number = device_minor(file))
      paths.push_back("/dev/nvidia-caps/nvidia-cap" + std::to_string(*number));
  return paths;
}

void Session::read_use(Device device, Gpu& gpu) const {
  MemoryV2 newer{.version = kMemoryV2, .total = 0, .reserved = 0, .free = 0, .used = 0};
  Memory older{};
  auto result = library_.memory_v2(device, &newer);
  if (result == kSuccess) {
    older = {newer.total, newer.free, newer.used};
  } else {
    result = library_.memory_v1(device, &older);
  }
  if (result == kSuccess) {
    gpu.memory = ByteSize(older.total);
    gpu.used = ByteSize(older.used);
  } else {
    withhold(gpu, "its memory cannot be read: " + library_.description(result));
  }
  Utilization utilization{};
  if (library_.utilization(device, &utilization) == kSuccess) gpu.utilisation = utilization.gpu;
  gpu.processes = read_processes(device);
}

// Asked again with more room while more processes appear.
std::vector<gpu::Process> Session::read_processes(Device device) const {
  constexpr unsigned kMost = 4096;
  const auto read = [&](const auto& function, auto infos) {
    std::vector<gpu::Process> processes;
    for (unsigned room = 64; room <= kMost; room *= 4) {
      infos.resize(room);
      unsigned count = room;
      const auto result = function(device, &count, infos.data());
      if (result == kInsufficientSize) continue;
      if (result != kSuccess) break;
      for (unsigned i = 0; i < std::min(count, room); ++i)
        processes.push_back({static_cast<pid_t>(infos[i].pid), infos[i].memory == kNotAvailable
                                                                   ? std::nullopt
                                                                   : std::optional(ByteSize(infos[i].memory))});
      break;
    }
    return processes;
  };
  if (library_.processes) return read(library_.processes, std::vector<Process>());
  return read(library_.processes_v1, std::vector<ProcessV1>());
}

void Session::read_health(Device device, Gpu& gpu) const {
  std::uint64_t errors = 0;
  const auto result = library_.ecc_errors(device, kEccUncorrected, kEccVolatile, &errors);
  if (result == kGpuIsLost) withhold(gpu, "it has fallen off the bus: reboot");
  if (result == kResetRequired) withhold(gpu, "it must be reset: nvidia-smi --gpu-reset");
  if (result == kSuccess && errors > 0)
    withhold(gpu, std::to_string(errors) + " uncorrected memory " + (errors == 1 ? "error" : "errors") +
                      " (ECC) since the driver was loaded");
  unsigned correctable = 0;
  unsigned uncorrectable = 0;
  unsigned pending = 0;
  unsigned failed = 0;
  if (library_.remapped_rows(device, &correctable, &uncorrectable, &pending, &failed) == kSuccess) {
    if (failed > 0) withhold(gpu, "memory rows could not be remapped: the GPU is worn out");
    if (pending > 0) withhold(gpu, "memory rows wait to be remapped: nvidia-smi --gpu-reset");
  }
  unsigned mode = 0;
  if (library_.compute_mode(device, &mode) == kSuccess && mode == kComputeProhibited)
    withhold(gpu, "its compute mode is 'prohibited': nvidia-smi --compute-mode=0");
}

void Session::watch(Device device, const std::string& uuid) {
  if (const auto known = watched_.find(device); known != watched_.end() && known->second == uuid) return;
  watched_[device] = uuid;
  if (events_ != nullptr) library_.register_events(device, kEventXid, events_);
}

void Session::collect_faults(Survey& survey) const {
  constexpr int kMost = 256;  // a GPU in trouble may report without end
  if (events_ == nullptr) return;
  Event event{};
  for (int i = 0; i < kMost && library_.wait_event(events_, &event, 0) == kSuccess; ++i) {
    const auto known = watched_.find(event.device);
    if (known != watched_.end() && event.type == kEventXid)
      survey.faults.push_back({known->second, static_cast<unsigned>(event.data)});
  }
}

}  // namespace berth::gpu::nvml
