#include "runtime/os/inotify.hpp"

#include <sys/inotify.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "runtime/base/error.hpp"

namespace berth::os {

Inotify::Inotify() : fd_(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK)) {
  if (fd_) return;
  if (errno == EMFILE)
    throw Error(Code::unavailable, "this user has too many inotify instances",
                "raise /proc/sys/fs/inotify/max_user_instances");
  throw_errno("make", "an inotify instance");
}

int Inotify::add(const std::string& path, std::uint32_t mask) {
  const int watch = ::inotify_add_watch(fd_.get(), path.c_str(), mask);
  if (watch >= 0) return watch;
  if (errno == ENOSPC)
    throw Error(Code::unavailable, "this user has too many inotify watches",
                "raise /proc/sys/fs/inotify/max_user_watches");
  throw_errno("watch", path);
}

int Inotify::add(const Fd& file, std::uint32_t mask) {
  return add("/proc/self/fd/" + std::to_string(file.get()), mask);
}

void Inotify::remove(int watch) { ::inotify_rm_watch(fd_.get(), watch); }

std::vector<Inotify::Event> Inotify::read() {
  std::vector<Event> events;
  alignas(inotify_event) std::array<char, 4096> buffer;
  for (;;) {
    const auto length = ::read(fd_.get(), buffer.data(), buffer.size());
    if (length < 0 && errno == EINTR) continue;
    if (length < 0 && errno == EAGAIN) return events;
    if (length <= 0) throw_errno("read", "an inotify instance");
    for (std::size_t at = 0; at < static_cast<std::size_t>(length);) {
      inotify_event event{};
      std::memcpy(&event, buffer.data() + at, sizeof event);
      const char* name = buffer.data() + at + sizeof event;
      events.push_back({event.wd, event.mask, event.len > 0 ? std::string(name) : std::string()});
      at += sizeof event + event.len;
    }
  }
}

}  // namespace berth::os
