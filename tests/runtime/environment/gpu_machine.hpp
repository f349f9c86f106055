#pragma once

// What is known of a machine with a GPU, whose driver runs images of CUDA up to 12.2.

#include "runtime/gpu/cuda.hpp"

namespace berth::environment::test {

inline gpu::Machine gpu_machine() {
  gpu::Machine machine;
  machine.driver = gpu::Version{535, 54, 3};
  machine.cuda = gpu::Version{12, 2, 0};
  machine.cards = {{"NVIDIA H100 80GB HBM3", {9, 0, 0}, "nvidia"}};
  return machine;
}

}  // namespace berth::environment::test
