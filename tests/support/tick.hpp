#pragma once

#include <chrono>
#include <ctime>
#include <thread>

namespace berth::test {

// Returns when the clock by which the kernel stamps files has moved on: what is written then is later.
inline void wait_for_tick() {
  const auto now = [] {
    timespec time{};
    ::clock_gettime(CLOCK_REALTIME_COARSE, &time);
    return time.tv_sec * 1'000'000'000 + time.tv_nsec;
  };
  const auto start = now();
  while (now() == start) std::this_thread::sleep_for(std::chrono::milliseconds(1));
}

}  // namespace berth::test
