#pragma once

// What a cleaning is going to do, for the sources of Manager.

#include <unordered_map>

#include "agent/disk/manager.hpp"

namespace berth::disk {

struct Manager::Plan {
  Cleaning wanted;
  SurveyContext context;
  State state;
  std::vector<Candidate> candidates;  // in the order in which they go; Candidate::kind is an index of kinds_
  std::vector<std::vector<Retained>> staying;  // by kind
  std::vector<Need> needs;
  ImageDisk image_disk;
  std::vector<Need> image_needs;
  WholeChoice choice;
  std::uint64_t logs = 0;       // bytes, of ended jobs
  std::uint64_t leftovers = 0;  // bytes of stored objects that nothing refers to

  std::ptrdiff_t going() const { return static_cast<std::ptrdiff_t>(choice.going); }
};

}  // namespace berth::disk
