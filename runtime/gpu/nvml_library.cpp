#include "runtime/gpu/nvml_library.hpp"

#include <dlfcn.h>

#include <initializer_list>

#include "runtime/base/error.hpp"

namespace berth::gpu::nvml {
namespace {

// The first of these that the library has.
void* find(void* library, std::initializer_list<const char*> names) {
  for (const char* name : names)
    if (void* symbol = ::dlsym(library, name)) return symbol;
  return nullptr;
}

}  // namespace

Library::Library(const std::string& path) : handle_(::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL)) {
  if (handle_ == nullptr) {
    const char* why = ::dlerror();
    throw Error(Code::not_found, "NVML cannot be loaded: " + std::string(why != nullptr ? why : path),
                "for GPUs install the NVIDIA driver");
  }
  resolve();
  if (init && shutdown && count && by_index && uuid) return;
  ::dlclose(handle_);
  throw Error(Code::unsupported, "NVML in " + path + " lacks functions that listing GPUs needs",
              "install a newer NVIDIA driver");
}

Library::~Library() { ::dlclose(handle_); }

std::string Library::description(Return result) const {
  if (result == kFunctionNotFound) return "NVML is too old for this";
  const char* text = error_string_ != nullptr ? error_string_(result) : nullptr;
  return text != nullptr ? text : "NVML error " + std::to_string(result);
}

void Library::resolve() {
  init.set(find(handle_, {"nvmlInit_v2", "nvmlInit"}));
  shutdown.set(find(handle_, {"nvmlShutdown"}));
  driver_version.set(find(handle_, {"nvmlSystemGetDriverVersion"}));
  cuda_version.set(find(handle_, {"nvmlSystemGetCudaDriverVersion_v2", "nvmlSystemGetCudaDriverVersion"}));
  count.set(find(handle_, {"nvmlDeviceGetCount_v2", "nvmlDeviceGetCount"}));
  by_index.set(find(handle_, {"nvmlDeviceGetHandleByIndex_v2", "nvmlDeviceGetHandleByIndex"}));
  uuid.set(find(handle_, {"nvmlDeviceGetUUID"}));
  name.set(find(handle_, {"nvmlDeviceGetName"}));
  brand.set(find(handle_, {"nvmlDeviceGetBrand"}));
  minor_number.set(find(handle_, {"nvmlDeviceGetMinorNumber"}));
  capability.set(find(handle_, {"nvmlDeviceGetCudaComputeCapability"}));
  compute_mode.set(find(handle_, {"nvmlDeviceGetComputeMode"}));
  utilization.set(find(handle_, {"nvmlDeviceGetUtilizationRates"}));
  ecc_errors.set(find(handle_, {"nvmlDeviceGetTotalEccErrors"}));
  remapped_rows.set(find(handle_, {"nvmlDeviceGetRemappedRows"}));
  mig_mode.set(find(handle_, {"nvmlDeviceGetMigMode"}));
  most_mig_devices.set(find(handle_, {"nvmlDeviceGetMaxMigDeviceCount"}));
  mig_device.set(find(handle_, {"nvmlDeviceGetMigDeviceHandleByIndex"}));
  gpu_instance.set(find(handle_, {"nvmlDeviceGetGpuInstanceId"}));
  compute_instance.set(find(handle_, {"nvmlDeviceGetComputeInstanceId"}));
  attributes.set(find(handle_, {"nvmlDeviceGetAttributes_v2", "nvmlDeviceGetAttributes"}));
  memory_v2.set(find(handle_, {"nvmlDeviceGetMemoryInfo_v2"}));
  memory_v1.set(find(handle_, {"nvmlDeviceGetMemoryInfo"}));
  processes.set(find(handle_, {"nvmlDeviceGetComputeRunningProcesses_v3", "nvmlDeviceGetComputeRunningProcesses_v2"}));
  processes_v1.set(find(handle_, {"nvmlDeviceGetComputeRunningProcesses"}));
  create_events.set(find(handle_, {"nvmlEventSetCreate"}));
  register_events.set(find(handle_, {"nvmlDeviceRegisterEvents"}));
  wait_event.set(find(handle_, {"nvmlEventSetWait_v2", "nvmlEventSetWait"}));
  free_events.set(find(handle_, {"nvmlEventSetFree"}));
  error_string_ = reinterpret_cast<const char* (*)(Return)>(find(handle_, {"nvmlErrorString"}));
}

}  // namespace berth::gpu::nvml
