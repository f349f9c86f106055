#pragma once

// What a job asks for and what a node has. Accounting units: CPUs in thousandths (as Docker's and Kubernetes'
// fractional CPUs), memory in bytes, GPUs and slots as whole numbers. A slot is a place in `max_parallel`.

#include <compare>
#include <cstdint>
#include <string>

#include "runtime/base/units.hpp"

namespace berth::model {

struct Resources {
  std::uint32_t cpu_milli = 0;
  ByteSize memory;
  std::uint16_t gpus = 0;
  std::uint16_t slots = 0;

  friend bool operator==(const Resources&, const Resources&) = default;
};

// Every amount of `wanted` is at most that of `available`.
bool fits(const Resources& wanted, const Resources& available);
Resources operator+(const Resources& a, const Resources& b);
// Never below zero: what is more than there is leaves nothing.
Resources operator-(const Resources& a, const Resources& b);

// "2 CPUs, 4 GiB of memory, 1 GPU"; amounts of zero are left out, "nothing" for none.
std::string to_words(const Resources& resources);

}  // namespace berth::model
