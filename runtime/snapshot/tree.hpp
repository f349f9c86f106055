#pragma once

// Reading a directory tree that somebody else may be changing, or may have made to trick us: everything is
// opened relative to the root held open, and no symbolic link is followed (os/beneath.hpp). Internal to
// runtime/snapshot.

#include <sys/stat.h>

#include <cstdint>
#include <string>
#include <vector>

#include "runtime/os/fd.hpp"

namespace berth::snapshot {

// What tells that a file is the one seen before, together with its size.
struct Stamp {
  std::uint64_t device = 0;
  std::uint64_t inode = 0;  // 0: never equal to a file's
  std::int64_t modified = 0;  // nanoseconds
  std::int64_t changed = 0;

  friend bool operator==(const Stamp&, const Stamp&) = default;
};

Stamp stamp_of(const struct stat& info);

// The names in a directory, "." and ".." left out, in bytewise order; where there are more than `most`, any so many.
std::vector<std::string> list_names(const os::Fd& directory, std::size_t most = static_cast<std::size_t>(-1));

// os::try_open_beneath or throw; "." for "".
os::Fd open_directory_beneath(const os::Fd& root, const std::string& path);

}  // namespace berth::snapshot
