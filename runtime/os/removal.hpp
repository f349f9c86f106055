#pragma once

// Removing trees that others made, however they made them: any depth with a bounded number of descriptors, no path is
// ever built, no link followed, no mount entered.

#include <cstdint>
#include <stop_token>
#include <string>

namespace berth::os {

struct Removal {
  std::uint64_t left = 0;     // entries that could not be removed, not counting the directories that hold them
  std::string first_failure;  // why the first of them could not: "cannot remove x: …"
  bool stopped = false;       // by `stop`; what is left then is not counted
  bool complete() const { return left == 0 && !stopped; }
};

// Removes a file or a whole tree; what is absent is fine. What cannot be removed is passed over, and the rest goes.
// Directories that their owner closed are opened where that helps. What is nested deeper than a few levels is moved to
// the top of the tree under a name of ours first, so a stop may leave it there.
Removal remove_what_can_be(const std::string& path, const std::stop_token& stop = {});

}  // namespace berth::os
