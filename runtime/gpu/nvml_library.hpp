#pragma once

// NVML as a loaded library: which functions it has, under their newest names. Knows no policy.

#include <string>
#include <type_traits>

#include "runtime/gpu/nvml_abi.hpp"

namespace berth::gpu::nvml {

// A function that may be absent; then it answers kFunctionNotFound.
template <class... Arguments>
class Function {
 public:
  using Pointer = Return (*)(Arguments...);

  void set(void* symbol) { pointer_ = reinterpret_cast<Pointer>(symbol); }
  explicit operator bool() const { return pointer_ != nullptr; }
  Return operator()(std::type_identity_t<Arguments>... arguments) const {
    return pointer_ == nullptr ? kFunctionNotFound : pointer_(arguments...);
  }

 private:
  Pointer pointer_ = nullptr;
};

class Library {
 public:
  // Throws Code::not_found where it cannot be loaded, Code::unsupported where it lacks what nothing works without.
  explicit Library(const std::string& path);
  Library(const Library&) = delete;
  Library& operator=(const Library&) = delete;
  ~Library();

  // NVML's own words for a result.
  std::string description(Return result) const;

  Function<> init;
  Function<> shutdown;
  Function<char*, unsigned> driver_version;
  Function<int*> cuda_version;  // 12040 is 12.4
  Function<unsigned*> count;
  Function<unsigned, Device*> by_index;
  Function<Device, char*, unsigned> uuid;
  Function<Device, char*, unsigned> name;
  Function<Device, int*> brand;
  Function<Device, unsigned*> minor_number;
  Function<Device, int*, int*> capability;
  Function<Device, unsigned*> compute_mode;
  Function<Device, Utilization*> utilization;
  Function<Device, unsigned, unsigned, std::uint64_t*> ecc_errors;
  Function<Device, unsigned*, unsigned*, unsigned*, unsigned*> remapped_rows;
  Function<Device, unsigned*, unsigned*> mig_mode;
  Function<Device, unsigned*> most_mig_devices;
  Function<Device, unsigned, Device*> mig_device;
  Function<Device, unsigned*> gpu_instance;
  Function<Device, unsigned*> compute_instance;
  Function<Device, Attributes*> attributes;
  // The one that the library has; the other answers kFunctionNotFound.
  Function<Device, MemoryV2*> memory_v2;
  Function<Device, Memory*> memory_v1;
  Function<Device, unsigned*, Process*> processes;
  Function<Device, unsigned*, ProcessV1*> processes_v1;
  Function<EventSet*> create_events;
  Function<Device, std::uint64_t, EventSet> register_events;
  Function<EventSet, Event*, unsigned> wait_event;
  Function<EventSet> free_events;

 private:
  void resolve();

  void* handle_;
  const char* (*error_string_)(Return) = nullptr;
};

}  // namespace berth::gpu::nvml
