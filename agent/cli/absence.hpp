#pragma once

// An agent that is away for a while, as when it is restarted: told once, and not waited for without end.

#include <chrono>
#include <optional>
#include <string>

#include "runtime/base/error.hpp"

namespace berth::cli {

// Whether a request failed because no agent is there, or not ready yet.
bool agent_is_away(const Error& error);

class Absence {
 public:
  // `meanwhile` says what goes on without it ("the job lives on").
  explicit Absence(std::string meanwhile) : meanwhile_(std::move(meanwhile)) {}
  explicit operator bool() const { return since_.has_value(); }
  // Pauses, longer each time. Code::unavailable with `hint` after ten minutes of absence.
  void endure(const Error& why, const std::string& hint);
  // It answers again.
  void end();

 private:
  std::string meanwhile_;
  std::optional<std::chrono::steady_clock::time_point> since_;
  std::optional<std::chrono::milliseconds> pause_;  // the next one
};

}  // namespace berth::cli
