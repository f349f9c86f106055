#pragma once

// For machines that have no mount namespaces, where a job and what it shares with others are one user's: an environment
// is closed by its permissions, and one that was changed all the same is known by what its directories tell.

#include <string>

namespace berth::environment {

// Takes everybody's permission to write from all files and directories there.
void close_to_writers(const std::string& tree);

// The same text as long as nothing was written, added, removed or replaced there. Not proof against somebody who sets
// times back.
std::string state_of(const std::string& tree);

}  // namespace berth::environment
