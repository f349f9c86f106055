#include "runtime/snapshot/tree.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "runtime/base/error.hpp"
#include "runtime/base/text.hpp"

namespace berth::snapshot {
namespace {

int open_in_one_step(int root, const char* path, int flags) {
  struct open_how how {};
  how.flags = static_cast<std::uint64_t>(static_cast<unsigned>(flags));
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
  return static_cast<int>(::syscall(SYS_openat2, root, path, &how, sizeof how));
}

// For kernels before 5.6 and sandboxes that hide openat2.
int open_step_by_step(int root, const std::string& path, int flags) {
  os::Fd held;
  int directory = root;
  std::size_t from = 0;
  for (auto slash = path.find('/'); slash != std::string::npos; slash = path.find('/', from)) {
    const auto name = path.substr(from, slash - from);
    held = os::Fd(::openat(directory, name.c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!held || name == "..") return -1;
    directory = held.get();
    from = slash + 1;
  }
  return ::openat(directory, path.c_str() + from, flags | O_NOFOLLOW);
}

bool has_openat2() {
  static const bool works = [] {
    const os::Fd probe(open_in_one_step(AT_FDCWD, ".", O_PATH | O_CLOEXEC));
    return static_cast<bool>(probe);
  }();
  return works;
}

std::int64_t nanoseconds(const struct timespec& time) {
  return time.tv_sec * 1'000'000'000LL + time.tv_nsec;
}

}  // namespace

Stamp stamp_of(const struct stat& info) {
  return {info.st_dev, info.st_ino, nanoseconds(info.st_mtim), nanoseconds(info.st_ctim)};
}

os::Fd open_beneath(const os::Fd& root, const std::string& path, int flags) {
  flags |= O_CLOEXEC | O_NOFOLLOW;
  while (true) {
    os::Fd fd(has_openat2() ? open_in_one_step(root.get(), path.c_str(), flags)
                            : open_step_by_step(root.get(), path, flags));
    if (fd || (errno != EINTR && errno != EAGAIN)) return fd;
  }
}

os::Fd open_directory_beneath(const os::Fd& root, const std::string& path) {
  auto fd = open_beneath(root, path.empty() ? "." : path, O_RDONLY | O_DIRECTORY);
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
