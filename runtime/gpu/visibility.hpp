#pragma once

// How a job is told which GPUs are its own, and kept from the others. Pure.

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "runtime/os/device_filter.hpp"

namespace berth::gpu {

// CUDA_VISIBLE_DEVICES and NVIDIA_VISIBLE_DEVICES by UUID, in this order; for none, that none is visible.
std::vector<std::pair<std::string, std::string>> visibility_variables(const std::vector<std::string>& uuids);

// The rules that leave a job, of NVIDIA's GPUs and MIG instances, those with these device nodes (Gpu::device_paths)
// and the nodes that all share. `proc_devices`: the text of /proc/devices, for the numbers that differ by machine.
os::DeviceRules device_rules(const std::vector<std::string>& own_paths, std::string_view proc_devices);

}  // namespace berth::gpu
