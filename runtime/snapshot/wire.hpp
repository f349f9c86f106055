#pragma once

// The few primitives of the stored and sent formats: bytes, and numbers as LEB128 in their shortest form
// only. Internal to runtime/snapshot.

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

#include "runtime/base/digest.hpp"
#include "runtime/base/error.hpp"

namespace berth::snapshot {

inline void put_number(std::string& out, std::uint64_t value) {
  while (value >= 0x80) {
    out += static_cast<char>(value | 0x80);
    value >>= 7;
  }
  out += static_cast<char>(value);
}

inline void put_digest(std::string& out, const Digest& digest) {
  out.append(reinterpret_cast<const char*>(digest.bytes.data()), digest.bytes.size());
}

// Reads from the front of bytes it does not own; every failure is Code::corrupt and names `what`.
class Parser {
 public:
  Parser(std::string_view bytes, const char* what) : bytes_(bytes), what_(what) {}

  bool at_end() const { return position_ == bytes_.size(); }
  std::size_t position() const { return position_; }
  std::size_t left() const { return bytes_.size() - position_; }

  std::uint8_t byte() {
    if (at_end()) fail("it ends early");
    return static_cast<std::uint8_t>(bytes_[position_++]);
  }
  std::string_view take(std::uint64_t size) {
    if (size > left()) fail("it ends early");
    const auto taken = bytes_.substr(position_, static_cast<std::size_t>(size));
    position_ += static_cast<std::size_t>(size);
    return taken;
  }
  std::uint64_t number() {
    std::uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
      const std::uint8_t next = byte();
      if (shift == 63 && next > 1) break;
      value |= static_cast<std::uint64_t>(next & 0x7F) << shift;
      if (next < 0x80) {
        if (next == 0 && shift > 0) break;
        return value;
      }
    }
    fail("a number is malformed");
  }
  Digest digest() {
    Digest digest;
    std::memcpy(digest.bytes.data(), take(digest.bytes.size()).data(), digest.bytes.size());
    return digest;
  }
  [[noreturn]] void fail(const std::string& why) const {
    throw Error(Code::corrupt, std::string(what_) + " is malformed: " + why);
  }

 private:
  std::string_view bytes_;
  std::size_t position_ = 0;
  const char* what_;
};

}  // namespace berth::snapshot
