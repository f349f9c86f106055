#pragma once

// Sizes and durations: as values with a unit, as people type them, and as people read them.

#include <chrono>
#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace berth {

// A number of bytes.
class ByteSize {
 public:
  constexpr ByteSize() = default;
  constexpr explicit ByteSize(std::uint64_t bytes) : bytes_(bytes) {}
  constexpr std::uint64_t bytes() const { return bytes_; }
  friend constexpr auto operator<=>(ByteSize, ByteSize) = default;

 private:
  std::uint64_t bytes_ = 0;
};

constexpr ByteSize operator""_KiB(unsigned long long n) { return ByteSize(n << 10); }
constexpr ByteSize operator""_MiB(unsigned long long n) { return ByteSize(n << 20); }
constexpr ByteSize operator""_GiB(unsigned long long n) { return ByteSize(n << 30); }

// "512", "64k", "1.5GiB", "2g", "10MB": suffixes are powers of 1024, as in Docker's and systemd's options.
// Nothing for malformed, negative or overflowing text.
std::optional<ByteSize> parse_byte_size(std::string_view text);
// "1.5 GiB", "812 B".
std::string to_text(ByteSize size);

// "90", "90s", "15m", "2h30m", "1d", "250ms", "1h 5m"; a bare number is seconds. Nothing for malformed text.
std::optional<std::chrono::milliseconds> parse_duration(std::string_view text);
// "3 days 4 hours", "2 minutes 5 seconds", "1.2 seconds", "35 ms": at most two units.
std::string to_words(std::chrono::microseconds duration);

}  // namespace berth
