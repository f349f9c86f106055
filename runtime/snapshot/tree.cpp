#include "runtime/snapshot/tree.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "runtime/base/error.hpp"
#include "runtime/base/text.hpp"
#include "runtime/os/beneath.hpp"

namespace berth::snapshot {
namespace {

std::int64_t nanoseconds(const struct timespec& time) { return time.tv_sec * 1'000'000'000LL + time.tv_nsec; }

}  // namespace

Stamp stamp_of(const struct stat& info) {
  return {info.st_dev, info.st_ino, nanoseconds(info.st_mtim), nanoseconds(info.st_ctim)};
}

os::Fd open_directory_beneath(const os::Fd& root, const std::string& path) {
  auto fd = os::try_open_beneath(root, path.empty() ? "." : path, O_RDONLY | O_DIRECTORY);
  if (!fd) throw_errno("open directory", printable(path));
  return fd;
}

std::vector<std::string> list_names(const os::Fd& directory, std::size_t most) {
  std::vector<std::string> names;
  alignas(dirent64) std::array<char, 32768> buffer;
  while (names.size() < most) {
    const auto n = ::getdents64(directory.get(), buffer.data(), buffer.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw_errno("list", "a directory");
    if (n == 0) break;
    for (std::size_t at = 0; at < static_cast<std::size_t>(n);) {
      const auto* entry = reinterpret_cast<const dirent64*>(buffer.data() + at);
      at += entry->d_reclen;
      if (std::strcmp(entry->d_name, ".") != 0 && std::strcmp(entry->d_name, "..") != 0)
        names.emplace_back(entry->d_name);
    }
  }
  if (names.size() > most) names.resize(most);
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace berth::snapshot
