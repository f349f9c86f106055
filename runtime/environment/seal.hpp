#pragma once

// Takes a tree out of the hands of the user who built it, so that no later build, which runs as the same
// user, can change it.

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>

namespace berth::environment {

// Gives everything of `builder` in the tree to this process' user (nothing: leaves it), without set-user-id
// bits, and tells how many bytes of disk the tree takes. Follows no symlink, and may be run while somebody
// still writes there. Files that are linked from elsewhere too stay the builder's: they are in the cache of
// his tools, which could not link another's files again.
std::uint64_t seal(const std::string& tree, std::optional<uid_t> builder);

}  // namespace berth::environment
