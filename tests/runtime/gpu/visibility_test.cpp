#include "runtime/gpu/visibility.hpp"

#include <doctest/doctest.h>

using namespace berth;
using namespace berth::gpu;

namespace {

using Variables = std::vector<std::pair<std::string, std::string>>;

const std::string kDevices =
    "Character devices:\n  1 mem\n195 nvidia-frontend\n236 nvidia-caps\n510 nvidia-uvm\n\nBlock devices:\n  7 loop\n";

}  // namespace

TEST_CASE("a job sees its own GPUs, and none when it has none") {
  CHECK(visibility_variables({"GPU-a", "MIG-b"}) ==
        Variables{{"CUDA_VISIBLE_DEVICES", "GPU-a,MIG-b"}, {"NVIDIA_VISIBLE_DEVICES", "GPU-a,MIG-b"}});
  CHECK(visibility_variables({}) == Variables{{"CUDA_VISIBLE_DEVICES", ""}, {"NVIDIA_VISIBLE_DEVICES", "void"}});
}

TEST_CASE("device rules name a job's own nodes, and those that all share") {
  CHECK(device_rules({}, kDevices) == os::DeviceRules{{195, {254, 255}}, {236, {}}});
  CHECK(device_rules({"/dev/nvidia3", "/dev/nvidia0"}, kDevices) ==
        os::DeviceRules{{195, {0, 3, 254, 255}}, {236, {}}});
  CHECK(device_rules({"/dev/nvidia7", "/dev/nvidia-caps/nvidia-cap30", "/dev/nvidia-caps/nvidia-cap31"}, kDevices) ==
        os::DeviceRules{{195, {7, 254, 255}}, {236, {30, 31}}});
  CHECK(device_rules({"/dev/nvidia1", "/dev/nvidia-caps/nvidia-cap30", "/dev/nvidiactl"}, "") ==
        os::DeviceRules{{195, {1, 254, 255}}});
  CHECK(device_rules({}, "Block devices:\n236 nvidia-caps\n") == os::DeviceRules{{195, {254, 255}}});
}
