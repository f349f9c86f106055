#pragma once

// Time as Berth stores and shows it. Wall-clock instants have microsecond resolution, count from the Unix epoch
// and are for people; durations are measured on the monotonic clock, so a wall clock set back never makes one
// negative.

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

namespace berth {

using Micros = std::chrono::microseconds;
// A wall-clock instant.
using Instant = std::chrono::time_point<std::chrono::system_clock, Micros>;
// An instant of CLOCK_MONOTONIC, valid within one boot only.
using Steady = std::chrono::steady_clock::time_point;

// Where "now" comes from; tests inject their own.
class Clock {
 public:
  virtual ~Clock() = default;
  virtual Instant now() const = 0;
  virtual Steady steady() const = 0;
};

const Clock& system_clock();

std::int64_t to_unix_micros(Instant instant);
Instant from_unix_micros(std::int64_t micros);

// "2026-03-14T15:09:26.535897Z": RFC 3339, always UTC; for files and the API.
std::string to_rfc3339(Instant instant);
// Accepts any offset and any number of fractional digits; nothing for malformed text.
std::optional<Instant> parse_rfc3339(std::string_view text);
// "2026-03-14 16:09:26" in the zone of TZ; for people.
std::string to_local_text(Instant instant);

}  // namespace berth
