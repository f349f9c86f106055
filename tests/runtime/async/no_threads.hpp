#pragma once

// Keeps this process from starting threads: their stacks fit no machine.

#include <pthread.h>

#include "runtime/async/attempt.hpp"
#include "runtime/base/error.hpp"

namespace berth::async {

class NoThreads {
 public:
  NoThreads() {
    ::pthread_getattr_default_np(&before_);
    pthread_attr_t huge;
    ::pthread_getattr_default_np(&huge);
    ::pthread_attr_setstacksize(&huge, std::size_t{1} << 60U);
    ::pthread_setattr_default_np(&huge);
    ::pthread_attr_destroy(&huge);
  }
  ~NoThreads() {
    ::pthread_setattr_default_np(&before_);
    ::pthread_attr_destroy(&before_);
  }
  NoThreads(const NoThreads&) = delete;
  NoThreads& operator=(const NoThreads&) = delete;

 private:
  pthread_attr_t before_{};
};

inline Task<Code> failure_code(Task<> task) {
  const auto result = co_await attempt(std::move(task));
  co_return result ? Code::internal : result.error().code();
}

}  // namespace berth::async
