#include "runtime/os/removal.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <linux/stat.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "runtime/base/error.hpp"
#include "runtime/base/text.hpp"
#include "runtime/os/fd.hpp"
#include "runtime/os/file.hpp"

namespace berth::os {
namespace {

// A descriptor and a buffer for each.
constexpr int kLevels = 12;
constexpr const char* kMoved = ".berth-removing-";

bool is_refusal(int failure) { return failure == EACCES || failure == EPERM; }

// A mount's own root; kernels before 5.8 do not say.
bool is_mount(const Fd& directory) {
  struct statx info {};
  if (::statx(directory.get(), "", AT_EMPTY_PATH | AT_NO_AUTOMOUNT, STATX_TYPE, &info) < 0) return false;
  return (info.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0;
}

// Whatever is at that name now, it is not followed.
void open_up(int parent, const char* name) {
  const Fd found(::openat(parent, name, O_PATH | O_NOFOLLOW | O_DIRECTORY | O_CLOEXEC));
  struct stat info {};
  if (found && ::fstat(found.get(), &info) == 0 && (info.st_mode & S_IRWXU) != S_IRWXU)
    ::chmod(("/proc/self/fd/" + std::to_string(found.get())).c_str(), S_IRWXU);
}

Fd open_directory(int parent, const char* name) {
  constexpr int kFlags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
  Fd directory(::openat(parent, name, kFlags));
  if (directory || !is_refusal(errno)) return directory;
  open_up(parent, name);
  return Fd(::openat(parent, name, kFlags));
}

class Remover {
 public:
  Remover(const std::string& path, const std::stop_token& stop) : path_(path), stop_(stop) {}

  Removal run() {
    if (::unlink(path_.c_str()) == 0 || errno == ENOENT || errno == ENOTDIR) return removal_;
    const int refused = errno;
    top_ = open_directory(AT_FDCWD, path_.c_str());
    if (!top_) {
      if (errno != ENOENT) note(path_.c_str(), errno == ENOTDIR || errno == ELOOP ? refused : errno);
      return removal_;
    }
    do {
      moved_ = false;
      removal_.left = 0;
      empty(top_, 0);
    } while (moved_ && !removal_.stopped);
    if (removal_.complete() && ::rmdir(path_.c_str()) < 0 && errno != ENOENT) note(path_.c_str(), errno);
    return removal_;
  }

 private:
  struct Pass {
    std::uint64_t seen = 0;
    std::uint64_t gone = 0;
  };

  // In passes, since what is removed moves what is still to be read. The last one finds only what cannot be removed.
  void empty(const Fd& directory, int level) {
    const auto left_before = removal_.left;
    for (;;) {
      removal_.left = left_before;
      ::lseek(directory.get(), 0, SEEK_SET);
      const auto pass = once(directory, level);
      if (pass.seen == 0 || pass.gone == 0 || removal_.stopped) return;
    }
  }

  Pass once(const Fd& directory, int level) {
    Pass pass;
    alignas(dirent64) std::array<char, 8192> buffer;
    for (;;) {
      const auto length = ::getdents64(directory.get(), buffer.data(), buffer.size());
      if (length < 0 && errno == EINTR) continue;
      if (length < 0) note(path_.c_str(), errno);
      if (length <= 0) return pass;
      for (std::size_t at = 0; at < static_cast<std::size_t>(length);) {
        const auto* entry = reinterpret_cast<const dirent64*>(buffer.data() + at);
        at += entry->d_reclen;
        const std::string_view name = entry->d_name;
        if (name == "." || name == "..") continue;
        if (stop_.stop_requested()) {
          removal_.stopped = true;
          return pass;
        }
        ++pass.seen;
        if (remove(directory, entry->d_name, entry->d_type, level)) ++pass.gone;
      }
    }
  }

  bool remove(const Fd& parent, const char* name, unsigned char type, int level) {
    if (type != DT_DIR) {
      if (unlink(parent, name, 0)) return true;
      if (errno != EISDIR && !(errno == EPERM && type == DT_UNKNOWN)) return failed(name);
    }
    if (unlink(parent, name, AT_REMOVEDIR)) return true;
    if (errno != ENOTEMPTY && errno != EEXIST) return failed(name);
    if (level + 1 >= kLevels) return move_up(parent, name) || failed(name);
    const auto left_before = removal_.left;
    {
      const auto child = open_directory(parent.get(), name);
      if (!child) return errno == ENOENT || failed(name);
      if (is_mount(child)) {
        errno = EBUSY;
        return failed(name);
      }
      empty(child, level + 1);
    }
    if (removal_.stopped || removal_.left > left_before) return false;
    return unlink(parent, name, AT_REMOVEDIR) || failed(name);
  }

  // Gone already is as good.
  bool unlink(const Fd& parent, const char* name, int flags) {
    if (::unlinkat(parent.get(), name, flags) == 0 || errno == ENOENT) return true;
    if (!is_refusal(errno)) return false;
    const int refused = errno;
    struct stat info {};
    if (::fstat(parent.get(), &info) < 0 || (info.st_mode & S_IRWXU) == S_IRWXU ||
        ::fchmod(parent.get(), S_IRWXU) < 0) {
      errno = refused;
      return false;
    }
    return ::unlinkat(parent.get(), name, flags) == 0 || errno == ENOENT;
  }

  // To the top, where the next round finds it.
  bool move_up(const Fd& parent, const char* name) {
    open_up(parent.get(), name);  // its entry ".." changes, which takes the right to write to it
    for (;;) {
      const auto fresh = kMoved + std::to_string(++moves_);
      if (::renameat2(parent.get(), name, top_.get(), fresh.c_str(), RENAME_NOREPLACE) == 0) return moved_ = true;
      // Some file systems know no flags. What would be replaced is empty, and to be removed, too.
      if (errno == EINVAL && ::renameat(parent.get(), name, top_.get(), fresh.c_str()) == 0) return moved_ = true;
      if (errno != EEXIST && errno != ENOTEMPTY) return errno == ENOENT;
    }
  }

  bool failed(const char* name) {
    note(name, errno);
    return false;
  }

  void note(const char* name, int failure) {
    ++removal_.left;
    if (removal_.first_failure.empty())
      removal_.first_failure = "cannot remove " + printable(name) + ": " + std::strerror(failure);
  }

  const std::string& path_;
  const std::stop_token& stop_;
  Fd top_;
  Removal removal_;
  std::uint64_t moves_ = 0;
  bool moved_ = false;
};

}  // namespace

Removal remove_what_can_be(const std::string& path, const std::stop_token& stop) { return Remover(path, stop).run(); }

void remove_tree(const std::string& path) {
  const auto removal = remove_what_can_be(path);
  if (removal.complete()) return;
  const auto others = removal.left > 1 ? ", and " + std::to_string(removal.left - 1) + " more" : "";
  throw Error(Code::io, "cannot remove all of " + printable(path) + ": " + removal.first_failure + others);
}

}  // namespace berth::os
