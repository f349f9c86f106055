#include "runtime/os/beneath.hpp"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <string_view>

#include "runtime/base/error.hpp"
#include "runtime/base/text.hpp"
#include "runtime/os/file.hpp"

namespace berth::os {
namespace {

Error replaced(const std::string& path, const std::string& by) {
  return {Code::corrupt, printable(path) + " is not what it must be: " + by + " is in its place",
          "somebody has put it there; it is not followed"};
}

// Some that are neither "." nor "..", which could lead elsewhere, and no "/" before them.
void require_names(const std::string& path) {
  bool any = false;
  bool wrong = path.starts_with('/');
  for (std::size_t at = 0; at <= path.size();) {
    const auto end = std::min(path.find('/', at), path.size());
    const auto name = std::string_view(path).substr(at, end - at);
    wrong = wrong || name == "..";
    any = any || (!name.empty() && name != ".");
    at = end + 1;
  }
  if (wrong || !any) throw Error(Code::invalid, printable(path) + " is no path beneath a directory");
}

bool is_link(int directory, const char* name) {
  struct stat info {};
  return ::fstatat(directory, name, &info, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(info.st_mode);
}

// The same where the kernel, or a filter around this process, knows no openat2: each name by itself, none of them a
// link.
// -1 and errno.
int in_steps(int directory, const std::string& path, int flags, mode_t mode) {
  Fd above;
  std::size_t at = 0;
  for (auto slash = path.find('/'); slash != std::string::npos; at = slash + 1, slash = path.find('/', at)) {
    const auto name = path.substr(at, slash - at);
    if (name == ".." || slash == 0) return errno = EXDEV, -1;
    if (name.empty() || name == ".") continue;
    const int from = above ? above.get() : directory;
    const int next = ::openat(from, name.c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (next < 0 && errno == ENOTDIR) errno = is_link(from, name.c_str()) ? ELOOP : ENOTDIR;
    if (next < 0) return -1;
    above.reset(next);
  }
  const auto* last = path.c_str() + at;
  if (at > 0 && *last == '\0') last = ".";
  if (std::string_view(last) == "..") return errno = EXDEV, -1;
  return ::openat(above ? above.get() : directory, last, flags, mode);
}

// -1 and errno.
int in_one_step(int directory, const std::string& path, int flags, mode_t mode) {
  open_how how{};
  how.flags = static_cast<std::uint64_t>(static_cast<unsigned>(flags));
  how.mode = (flags & O_CREAT) != 0 ? mode : 0;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
  return static_cast<int>(::syscall(SYS_openat2, directory, path.c_str(), &how, sizeof how));
}

const char* type_in_words(mode_t mode) {
  switch (mode & S_IFMT) {
    case S_IFREG:
      return "a file";
    case S_IFDIR:
      return "a directory";
    case S_IFLNK:
      return "a link";
    case S_IFIFO:
      return "a fifo";
    case S_IFSOCK:
      return "a socket";
    default:
      return "a device";
  }
}

void check(int fd, const std::string& path, const Expected& expected) {
  struct stat info {};
  if (::fstat(fd, &info) < 0) throw_errno("look at", printable(path));
  if ((info.st_mode & S_IFMT) != expected.type) throw replaced(path, type_in_words(info.st_mode));
  const auto& owners = expected.owners;
  if (!owners.empty() && std::find(owners.begin(), owners.end(), info.st_uid) == owners.end())
    throw replaced(path, std::string(type_in_words(info.st_mode)) + " of the user " + std::to_string(info.st_uid));
}

bool absent(int error) { return error == ENOENT; }

// What was looked at is what is opened: by its descriptor.
Fd reopen(const Fd& found, const std::string& path, int flags) {
  const auto name = "/proc/self/fd/" + std::to_string(found.get());
  Fd fd;
  do {
    fd.reset(::open(name.c_str(), flags | O_CLOEXEC));
  } while (!fd && errno == EINTR);
  if (!fd) throw_errno("open", printable(path));
  return fd;
}

}  // namespace

Expected trusted_file() {
  Expected expected;
  expected.owners = {::geteuid(), 0, kNobodysOwn};
  return expected;
}

Fd open_directory(const std::string& path) { return open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW); }

Fd try_open_beneath(const Fd& directory, const std::string& path, int flags, mode_t mode) {
  static std::atomic<bool> in_one = true;  // until the kernel says that it cannot
  flags |= O_NOFOLLOW | O_CLOEXEC;
  for (;;) {
    Fd fd;
    if (in_one) fd.reset(in_one_step(directory.get(), path, flags, mode));
    if (!fd && in_one && errno == ENOSYS) in_one = false;
    if (!fd && (!in_one || errno == EPERM))
      fd.reset(in_steps(directory.get(), path, flags, mode));  // EPERM: of filters
    if (fd || (errno != EINTR && errno != EAGAIN)) return fd;  // EAGAIN: something was renamed on the way
  }
}

std::optional<Fd> open_beneath_if_exists(const Fd& directory, const std::string& path, int flags,
                                         const Expected& expected) {
  require_names(path);
  const auto found = try_open_beneath(directory, path, O_PATH);
  if (!found && absent(errno)) return std::nullopt;
  if (!found && (errno == ELOOP || errno == EXDEV)) throw replaced(path, "a link");
  if (!found && errno == ENOTDIR) throw replaced(path, "something that is no directory, or a link,");
  if (!found) throw_errno("open", printable(path));
  check(found.get(), path, expected);
  return reopen(found, path, flags & ~(O_CREAT | O_EXCL));
}

Fd open_beneath(const Fd& directory, const std::string& path, int flags, const Expected& expected, mode_t mode) {
  if (auto found = open_beneath_if_exists(directory, path, flags, expected)) return std::move(*found);
  if ((flags & O_CREAT) == 0) throw Error(Code::not_found, "there is no " + printable(path));
  auto made = try_open_beneath(directory, path, flags | O_EXCL, mode);
  if (made) return made;
  if (errno != EEXIST) throw_errno("make", printable(path));
  auto found = open_beneath_if_exists(directory, path, flags, expected);  // somebody was quicker
  if (!found) throw replaced(path, "something that comes and goes");
  return std::move(*found);
}

Fd open_plain(const std::string& path, int flags, const Expected& expected) {
  try {
    return open_beneath(open(parent_of(path), O_PATH | O_DIRECTORY), name_of(path), flags, expected);
  } catch (Error& error) {
    error.add_context("in " + printable(parent_of(path)));
    throw;
  }
}

std::optional<std::string> read_plain_if_exists(const std::string& path, const Expected& expected,
                                                std::uint64_t limit) {
  const Fd directory(::open(parent_of(path).c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!directory && absent(errno)) return std::nullopt;
  if (!directory) throw_errno("open", printable(parent_of(path)));
  const auto file = open_beneath_if_exists(directory, name_of(path), O_RDONLY, expected);
  if (!file) return std::nullopt;
  return read_all(*file, limit);
}

}  // namespace berth::os
