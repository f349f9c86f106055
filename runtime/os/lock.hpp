#pragma once

// Locks on files (flock): held by an open description, so gone with the process however it dies.

#include <optional>
#include <string>

#include "runtime/os/fd.hpp"

namespace berth::os {

class FileLock {
 public:
  // Opens (and makes, mode 0600) the file and locks it for itself alone; nothing when somebody else holds it.
  static std::optional<FileLock> try_acquire(const std::string& path);
  // The same for a file that is there already; throws Error Code::not_found where it is not.
  static std::optional<FileLock> try_acquire_existing(const std::string& path);
  // The same as try_acquire(), beside others that share it; nothing when somebody holds it alone.
  static std::optional<FileLock> try_share(const std::string& path);

  // The locked file, for reading and writing.
  const Fd& file() const { return file_; }

 private:
  explicit FileLock(Fd file) : file_(std::move(file)) {}
  static std::optional<FileLock> try_lock(const std::string& path, int how, int create);
  Fd file_;
};

}  // namespace berth::os
