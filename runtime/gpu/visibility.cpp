#include "runtime/gpu/visibility.hpp"

#include <charconv>
#include <optional>
#include <sstream>

namespace berth::gpu {
namespace {

constexpr unsigned kNvidiaMajor = 195;  // assigned to NVIDIA
constexpr unsigned kModesetMinor = 254;
constexpr unsigned kControlMinor = 255;

std::optional<unsigned> number_after(std::string_view path, std::string_view prefix) {
  if (!path.starts_with(prefix)) return std::nullopt;
  path.remove_prefix(prefix.size());
  unsigned number = 0;
  const auto [end, error] = std::from_chars(path.data(), path.data() + path.size(), number);
  if (error != std::errc{} || end != path.data() + path.size()) return std::nullopt;
  return number;
}

// "236 nvidia-caps" among the character devices.
std::optional<unsigned> major_of(std::string_view proc_devices, const std::string& name) {
  std::istringstream lines{std::string(proc_devices)};
  std::string line;
  while (std::getline(lines, line)) {
    if (line == "Block devices:") break;
    std::istringstream words(line);
    unsigned number = 0;
    std::string found;
    if (words >> number >> found && found == name) return number;
  }
  return std::nullopt;
}

}  // namespace

std::vector<std::pair<std::string, std::string>> visibility_variables(const std::vector<std::string>& uuids) {
  std::string list;
  for (const auto& uuid : uuids) list += (list.empty() ? "" : ",") + uuid;
  return {{"CUDA_VISIBLE_DEVICES", list}, {"NVIDIA_VISIBLE_DEVICES", list.empty() ? "void" : list}};
}

os::DeviceRules device_rules(const std::vector<std::string>& own_paths, std::string_view proc_devices) {
  os::DeviceRules rules{{kNvidiaMajor, {kModesetMinor, kControlMinor}}};
  const auto instances = major_of(proc_devices, "nvidia-caps");
  if (instances) rules[*instances];
  for (const auto& path : own_paths) {
    if (const auto number = number_after(path, "/dev/nvidia")) rules[kNvidiaMajor].insert(*number);
    if (const auto number = number_after(path, "/dev/nvidia-caps/nvidia-cap"); number && instances)
      rules[*instances].insert(*number);
  }
  return rules;
}

}  // namespace berth::gpu
