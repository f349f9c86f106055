#pragma once

// The file system that a path is on.

#include <cstdint>
#include <string>
#include <string_view>

#include "runtime/os/file.hpp"

namespace berth::os {

struct FileSystem {
  std::string type;  // as the kernel names it: "ext4", "tmpfs", "nfs4"; "" when it cannot be told
  Space space;
  std::uint64_t files_free = 0;  // inodes; 0 of 0 where there is no such limit
  std::uint64_t files_total = 0;
};

// Throws where the path cannot be looked at.
FileSystem file_system_of(const std::string& path);

// The type of the mount that an absolute path without symlinks is on, by the text of /proc/self/mountinfo.
std::string mount_type(std::string_view mountinfo, std::string_view path);

}  // namespace berth::os
