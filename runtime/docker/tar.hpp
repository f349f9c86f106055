#pragma once

// The headers of a tar archive (POSIX pax), for what a build needs: files, directories, symlinks.

#include <cstdint>
#include <string>

namespace berth::docker::tar {

enum class Kind { file, directory, symlink };

struct Entry {
  Kind kind = Kind::file;
  std::string name;  // relative, without a slash at its end
  unsigned mode = 0644;
  std::uint64_t size = 0;     // of a file
  std::int64_t modified = 0;  // seconds since 1970
  std::string target;         // of a symlink
};

inline constexpr std::size_t kBlock = 512;

// The header, whole blocks: a second one before it where a name or a size does not fit the old form. Owner is
// root.
std::string header(const Entry& entry);
// The zeros after a file of that size.
std::string padding(std::uint64_t size);
// What ends an archive.
std::string end();

}  // namespace berth::docker::tar
