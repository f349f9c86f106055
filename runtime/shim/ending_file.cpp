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

namespace berth::shim {
namespace {

constexpr std::size_t kReserve = 16384;  // an ending's texts are cut so that it fits
constexpr std::chrono::milliseconds kLongestPause{10'000};

void pause_for(std::chrono::milliseconds pause) {
  const timespec duration{pause.count() / 1000, pause.count() % 1000 * 1'000'000};
  ::nanosleep(&duration, nullptr);
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
  const auto text = to_text(ended);
  for (std::chrono::milliseconds pause{50};; pause = std::min(pause * 2, kLongestPause)) {
    try {
      return try_write(text);
    } catch (const Error& error) {
      if (error.code() == Code::not_found) return;
    }
    pause_for(pause);
  }
}

void EndingFile::try_write(const std::string& text) {
  const auto part = os::join(directory_, kEndingReserve);
  const auto path = os::join(directory_, kEndingFile);
  if (!file_) file_ = os::open(part, O_RDWR | O_CREAT, 0600);
  os::write_all_at(file_, text, 0);
  struct stat info {};
  const bool longer = ::fstat(file_.get(), &info) == 0 && info.st_size > static_cast<off_t>(text.size());
  if (longer && ::ftruncate(file_.get(), static_cast<off_t>(text.size())) < 0) throw_errno("shorten", part);
  os::sync_data(file_, part);
  if (::rename(part.c_str(), path.c_str()) < 0) throw_errno("put in place", path);
  os::sync_directory(directory_);
}

}  // namespace berth::shim
