#pragma once

// What a cleaning is going to do, for the sources of Governor.

#include <unordered_map>

#include "agent/jobs/governor.hpp"

namespace berth::jobs {

struct Governor::Plan {
  Cleaning wanted;
  Scene scene;
  DiskState state;
  std::vector<Candidate> candidates;  // in the order in which they go; Candidate::kind is an index of kinds_
  std::vector<std::vector<Staying>> staying;  // by kind
  std::vector<Need> needs;
  ImageDisk image_disk;
  std::vector<Need> image_needs;
  WholeChoice choice;
  std::uint64_t logs = 0;       // bytes, of ended jobs
  std::uint64_t leftovers = 0;  // bytes of stored objects that nothing refers to

  std::ptrdiff_t going() const { return static_cast<std::ptrdiff_t>(choice.going); }
};

}  // namespace berth::jobs
