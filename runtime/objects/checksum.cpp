#include "runtime/objects/checksum.hpp"

#include <array>
#include <bit>
#include <cstring>

namespace berth::objects {
namespace {

constexpr std::uint64_t kPrime = 0x9E3779B185EBCA87ULL;

std::uint64_t mix(std::uint64_t lane, std::uint64_t word) { return std::rotl(lane ^ word * kPrime, 29) * kPrime; }

std::uint64_t word_at(const char* p) {
  std::uint64_t word;
  std::memcpy(&word, p, sizeof word);
  return word;
}

}  // namespace

std::uint64_t checksum64(std::string_view bytes) {
  std::array<std::uint64_t, 4> lanes{1, 2, 3, 4};
  std::uint64_t sum = bytes.size();
  while (bytes.size() >= 32) {
    for (std::size_t i = 0; i < 4; ++i) lanes[i] = mix(lanes[i], word_at(bytes.data() + 8 * i));
    bytes.remove_prefix(32);
  }
  for (const auto lane : lanes) sum = mix(sum, lane);
  for (const char c : bytes) sum = mix(sum, static_cast<unsigned char>(c));
  return sum ^ sum >> 31;
}

}  // namespace berth::objects
