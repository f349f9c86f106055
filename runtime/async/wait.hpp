#pragma once

// Waiting for time and for descriptors. Nothing here is periodic: an idle program has no
// wake-ups.

#include <chrono>
#include <cstdint>

#include "runtime/async/task.hpp"

namespace berth::async {

Task<> sleep_for(std::chrono::nanoseconds duration);

// Until the descriptor (a pidfd, inotify, a socket, a pipe) can be read, or was closed by its other side. It
// is not closed, keeps its blocking mode, and must stay open meanwhile. One waiter per descriptor at a time.
Task<> readable(int fd);

// How long to wait before the next attempt: doubles up to `most`, each time shortened by up to a half at
// random so that many clients do not come back at once.
class Backoff {
 public:
  Backoff(std::chrono::milliseconds first, std::chrono::milliseconds most);
  std::chrono::milliseconds next();
  // After a success.
  void reset() { current_ = first_; }

 private:
  std::chrono::milliseconds first_;
  std::chrono::milliseconds most_;
  std::chrono::milliseconds current_;
  std::uint64_t random_;
};

}  // namespace berth::async
