#pragma once

// For whoever needs a thread when the machine has none.

#include <exception>
#include <string>

#include "runtime/base/error.hpp"

namespace berth::async {

inline std::exception_ptr no_thread(const std::exception& why) {
  return std::make_exception_ptr(Error(Code::unavailable, std::string("cannot start a thread: ") + why.what(),
                                       "the limit of processes may be reached: see pids.max of its control group, or "
                                       "ulimit -u")
                                     .for_lack_of(Lack::processes));
}

}  // namespace berth::async
