#pragma once

// What a job asks for and what a node has. Accounting units: CPUs in thousandths (as Docker's and Kubernetes'
// fractional CPUs), memory in bytes, GPUs and slots as whole numbers. A slot is a place in `max_parallel`. `gpu_memory`
// is no amount of its own but says how the GPUs are wanted: zero is alone, more is this much memory of each, beside
// others who say so too.

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
  ByteSize gpu_memory{};

  friend bool operator==(const Resources&, const Resources&) = default;
};

// Every amount of `wanted` is at most that of `available`. Sums, rests and this leave gpu_memory out.
bool fits(const Resources& wanted, const Resources& available);
Resources operator+(const Resources& a, const Resources& b);
// Never below zero: what is more than there is leaves nothing.
Resources operator-(const Resources& a, const Resources& b);

// "2 CPUs, 4 GiB of memory, 1 GPU", "20 GiB each of 2 GPUs"; amounts of zero are left out, "nothing" for none.
std::string to_words(const Resources& resources);

}  // namespace berth::model
