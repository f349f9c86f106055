#pragma once

#include "runtime/base/clock.hpp"

namespace berth::logs::test {

// A clock that stands until it is told to go on.
class TestClock final : public Clock {
 public:
  Instant now() const override { return now_; }
  Steady steady() const override { return steady_; }
  void advance(std::chrono::milliseconds by) {
    now_ += by;
    steady_ += by;
  }
  void set_back(std::chrono::milliseconds by) { now_ -= by; }  // somebody sets the wall clock

 private:
  Instant now_ = from_unix_micros(1'700'000'000'000'000);
  Steady steady_{std::chrono::hours(5)};
};

}  // namespace berth::logs::test
