#pragma once

// Who computes on which GPU: jobs of this node, or somebody else, for whom a GPU is withheld. Pure.

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "runtime/gpu/gpu.hpp"

namespace berth::gpu {

// Whose a process is.
struct Owner {
  std::optional<std::string> job;  // by its control group; nothing: no job of this node
  std::string words;               // for people: "python3 of alice"; empty when it is not known
};
using OwnerOf = std::function<Owner(pid_t)>;

struct Assignment {
  // UUID → why it must not be handed out: somebody else computes there.
  std::map<std::string, std::string> foreign;
  // Job → UUID → memory of its processes there; what the driver does not tell counts as zero. A job that is not
  // here has given back all of its GPUs' memory.
  std::map<std::string, std::map<std::string, ByteSize>> jobs;
};

// A process that is no job's and uses at most `tolerated` does not matter: a desktop that computes a little. One
// of which the driver does not tell the memory does.
Assignment assignment_of(const std::vector<Gpu>& gpus, const OwnerOf& owner_of, ByteSize tolerated = {});

// Adds the reasons to GPUs that have none yet.
void withhold(std::vector<Gpu>& gpus, const Assignment& assignment);

}  // namespace berth::gpu
