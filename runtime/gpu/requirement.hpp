#pragma once

// NVIDIA_REQUIRE_CUDA and its like: "cuda>=12.4 brand=tesla,driver>=470,driver<471". A space is "or", a comma
// "and", as libnvidia-container reads it.

#include <string>
#include <string_view>
#include <vector>

#include "runtime/gpu/version.hpp"

namespace berth::gpu {

enum class Comparison { equal, unequal, less, at_most, more, at_least };

struct Condition {
  std::string subject;  // "cuda", "driver", "arch", "brand"
  Comparison comparison = Comparison::equal;
  std::string value;
};

// Any of these, each of which needs all of its conditions.
struct Requirement {
  std::string text;
  std::vector<std::vector<Condition>> alternatives;
};

// What a condition is held against.
struct Facts {
  Version cuda;    // the driver's
  Version driver;
  Version capability;
  std::string brand;
};

// Never fails: what it cannot read is a condition that is never met, as the hook refuses it.
Requirement parse_requirement(std::string_view text);
// True for one without alternatives.
bool is_met(const Requirement& requirement, const Facts& facts);

}  // namespace berth::gpu
