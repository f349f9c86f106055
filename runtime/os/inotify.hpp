#pragma once

// Watches on files and directories. The descriptor is non-blocking: wait for it with poll or the event loop.

#include <cstdint>
#include <string>
#include <vector>

#include "runtime/os/fd.hpp"

namespace berth::os {

class Inotify {
 public:
  struct Event {
    int watch = -1;
    std::uint32_t mask = 0;
    std::string name;  // of the entry, for a watched directory
  };

  Inotify();
  // Returns the watch's number. `mask` is inotify(7)'s, IN_ONESHOT included.
  int add(const std::string& path, std::uint32_t mask);
  // The same for an open file, whatever its name is by now.
  int add(const Fd& file, std::uint32_t mask);
  void remove(int watch);
  // Everything that has happened; empty when nothing has.
  std::vector<Event> read();
  const Fd& fd() const { return fd_; }

 private:
  Fd fd_;
};

}  // namespace berth::os
