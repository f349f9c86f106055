#include "runtime/os/lock.hpp"

#include <fcntl.h>
#include <sys/file.h>

#include <cerrno>

#include "runtime/base/error.hpp"

namespace berth::os {

std::optional<FileLock> FileLock::try_lock(const std::string& path, int how, int create) {
  auto file = open(path, O_RDWR | create | O_NOFOLLOW | O_NONBLOCK, 0600);
  int result = ::flock(file.get(), how | LOCK_NB);
  while (result < 0 && errno == EINTR) result = ::flock(file.get(), how | LOCK_NB);
  if (result == 0) return FileLock(std::move(file));
  if (errno == EWOULDBLOCK) return std::nullopt;
  throw_errno("lock", path);
}

std::optional<FileLock> FileLock::try_acquire(const std::string& path) { return try_lock(path, LOCK_EX, O_CREAT); }

std::optional<FileLock> FileLock::try_acquire_existing(const std::string& path) { return try_lock(path, LOCK_EX, 0); }

std::optional<FileLock> FileLock::try_share(const std::string& path) { return try_lock(path, LOCK_SH, O_CREAT); }

}  // namespace berth::os
