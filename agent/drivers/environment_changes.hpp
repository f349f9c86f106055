#pragma once

// What a job changed of its environment, as the upper layer of an overlay on it tells.

#include "agent/model/job.hpp"
#include "runtime/os/fd.hpp"

namespace berth::drivers {

struct LookBounds {
  std::size_t entries = 500'000;
  std::size_t names = 500;  // of `added` and of `removed`
  int depth = 64;
  std::chrono::milliseconds time{3000};
};

// Both are walked by descriptors, without following a link. `lower`: the environment as it was built; -1 where it
// cannot be opened, and then a distribution that was there already counts as added. Throws nothing: what it did not get
// to see is told in `unknown`.
model::EnvironmentChanges environment_changes(const os::Fd& upper, const os::Fd& lower, const LookBounds& bounds = {});

}  // namespace berth::drivers
