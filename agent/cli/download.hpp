#pragma once

// Files of a job on their way to the user's directory. Everything is received and verified beside its place,
// and moved there only when it is whole. Nothing is overwritten unless that is asked for, and no symbolic
// link is followed: what a job wrote is not to be trusted.

#include <cstdint>
#include <string>

#include "agent/cli/agent.hpp"

namespace berth::cli {

enum class Overwrite { no, yes };

struct Downloaded {
  std::string directory;
  std::uint64_t files = 0;
  std::uint64_t bytes = 0;
};

// A pack, as a tree in `directory`, which is made where it is missing.
Downloaded download_tree(Agent& agent, const std::string& target, const std::string& directory, Overwrite overwrite);
// A text, as the file `name` in `directory`.
Downloaded download_text(Agent& agent, const std::string& target, const std::string& directory, const std::string& name,
                         Overwrite overwrite);

}  // namespace berth::cli
