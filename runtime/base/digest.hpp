#pragma once

// A SHA-256 value: the name of a stored object or of a snapshot. Computing one is runtime/objects' business.

#include <array>
#include <compare>
#include <cstdint>
#include <cstring>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace berth {

struct Digest {
  std::array<std::uint8_t, 32> bytes{};

  friend auto operator<=>(const Digest&, const Digest&) = default;

  // 64 lower-case hexadecimal digits.
  std::string hex() const;
  // The first 12 digits, for people.
  std::string brief() const { return hex().substr(0, 12); }
};

// Accepts exactly 64 lower-case hexadecimal digits.
std::optional<Digest> parse_digest(std::string_view hex);

}  // namespace berth

template <>
struct std::hash<berth::Digest> {
  std::size_t operator()(const berth::Digest& digest) const noexcept {
    std::size_t value;  // a digest is uniformly distributed already
    std::memcpy(&value, digest.bytes.data(), sizeof value);
    return value;
  }
};
