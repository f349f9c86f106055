#pragma once

// What jobs share, and how far a node keeps a job from changing it.

#include <string>
#include <string_view>
#include <vector>

#include "runtime/os/protection.hpp"

namespace berth::drivers {

// Where it lies: the state directory, and what of it has been put elsewhere by links.
std::vector<std::string> shared_places(const std::string& state_dir);

// What becomes of what a job changes in an environment: "own" (it is the job's alone), "refused" (nothing can be
// written) or "shared" (nothing keeps it from the jobs after it).
std::string_view environment_changes_are(const os::Protections& possible, bool several_users);

}  // namespace berth::drivers
