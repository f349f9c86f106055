#include "runtime/shim/ending_file.hpp"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>

#include "runtime/os/file.hpp"
#include "runtime/shim/seal.hpp"

namespace berth::shim {
namespace {

constexpr std::size_t kReserve = 16384;  // an ending's texts are cut so that it fits
constexpr std::chrono::milliseconds kLongestPause{10'000};

void pause_for(std::chrono::milliseconds pause) {
  const timespec duration{pause.count() / 1000, pause.count() % 1000 * 1'000'000};
  ::nanosleep(&duration, nullptr);
}

// A job of the same user may have put a directory there, which a file does not replace.
void clear_the_way(const std::string& path) {
  struct stat info {};
  if (::lstat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode)) os::remove_tree(path);
}

}  // namespace

EndingFile::EndingFile(std::string directory) : directory_(std::move(directory)) {
  try {
    reserve();
  } catch (const Error& error) {
    problem_ = error;
  }
}

void EndingFile::reserve() {
  const auto path = os::join(directory_, kEndingReserve);
  file_ = os::open(path, O_RDWR | O_CREAT, 0600);
  // Beyond the end: giving back what is left over would cost more than the whole write.
  if (::fallocate(file_.get(), FALLOC_FL_KEEP_SIZE, 0, kReserve) == 0) return;
  if (errno != EOPNOTSUPP && errno != ENOSYS) throw_errno("take disk space for", path);
  os::write_all_at(file_, std::string(kReserve, '\n'), 0);
}

void EndingFile::write(const Ended& ended) {
  auto text = to_text(ended);
  if (!kept_key().empty()) text = sealed(text, kept_key());
  for (std::chrono::milliseconds pause{50};; pause = std::min(pause * 2, kLongestPause)) {
    try {
      return try_write(text);
    } catch (const Error& error) {
      if (!os::exists(directory_)) return;
    }
    pause_for(pause);
  }
}

// One wait for the disk: the file is there by its first name already, and whoever finds it by that name alone after the
// machine went down reads it there (client.cpp).
void EndingFile::try_write(const std::string& text) {
  const auto part = os::join(directory_, kEndingReserve);
  const auto path = os::join(directory_, kEndingFile);
  if (!file_) file_ = os::open(part, O_RDWR | O_CREAT, 0600);
  os::write_all_at(file_, text, 0);
  struct stat info {};
  const bool longer = ::fstat(file_.get(), &info) == 0 && info.st_size > static_cast<off_t>(text.size());
  if (longer && ::ftruncate(file_.get(), static_cast<off_t>(text.size())) < 0) throw_errno("shorten", part);
  os::sync_data(file_, part);
  struct stat named {};
  if (::lstat(part.c_str(), &named) == 0 && (named.st_ino != info.st_ino || named.st_dev != info.st_dev)) {
    os::remove_tree(part);  // a job of the same user put it there
    file_.reset();
    throw Error(Code::conflict, part + " was replaced");
  }
  clear_the_way(path);
  if (::rename(part.c_str(), path.c_str()) < 0) {
    if (errno == ENOENT) file_.reset();  // somebody took it away: it is written anew
    throw_errno("put in place", path);
  }
}

}  // namespace berth::shim
