#pragma once

// Versions of CUDA, of the driver, and compute capabilities: three numbers, compared in order.

#include <compare>
#include <optional>
#include <string>
#include <string_view>

namespace berth::gpu {

struct Version {
  int first = 0;   // 12 of 12.4, 535 of 535.54.03, 8 of compute capability 8.6
  int second = 0;
  int third = 0;
  friend constexpr auto operator<=>(const Version&, const Version&) = default;
};

// "12", "12.4", "535.54.03"; a fourth part and what follows is left out. Nothing for text that does not begin with
// a number, or has one above a million.
std::optional<Version> parse_version(std::string_view text);
// "12.4": of CUDA and compute capabilities.
std::string to_text(const Version& version);
// "535.54.03", "570.26", "470": as NVIDIA writes drivers.
std::string driver_text(const Version& version);

}  // namespace berth::gpu
