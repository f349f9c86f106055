#include "runtime/objects/chunker.hpp"

#include <algorithm>
#include <array>
#include <bit>

namespace berth::objects {
namespace {

// splitmix64, seeded with the ASCII of "Berth".
constexpr std::array<std::uint64_t, 256> make_gear() {
  std::array<std::uint64_t, 256> gear{};
  std::uint64_t state = 0x4265727468ULL;
  for (auto& word : gear) {
    state += 0x9E3779B97F4A7C15ULL;
    std::uint64_t z = state;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9ULL;
    z = (z ^ z >> 27) * 0x94D049BB133111EBULL;
    word = z ^ z >> 31;
  }
  return gear;
}

constexpr auto kGear = make_gear();

constexpr ChunkSizes sizes_around(std::uint32_t average) { return {average / 4, average, average * 4}; }

// The high bits of the hash depend on the last 64 bytes; the low ones on fewer.
std::uint64_t high_bits(int count) { return ~std::uint64_t{0} << (64 - count); }

struct Cut {
  std::size_t position;
  bool found;
};

Cut roll(const unsigned char* bytes, std::size_t from, std::size_t to, std::uint64_t mask, std::uint64_t& hash) {
  for (std::size_t i = from; i < to; ++i) {
    hash = (hash << 1) + kGear[bytes[i]];
    if ((hash & mask) == 0) return {i + 1, true};
  }
  return {to, false};
}

}  // namespace

ChunkSizes chunk_sizes_for(std::uint64_t file_size) {
  if (file_size <= 64ULL << 20) return sizes_around(8U << 10);
  if (file_size <= 1ULL << 30) return sizes_around(32U << 10);
  if (file_size <= 64ULL << 30) return sizes_around(128U << 10);
  return sizes_around(1U << 20);
}

// Normalized chunking: a cut is four times rarer before the average size and four times likelier after it.
std::uint32_t next_chunk(std::string_view bytes, const ChunkSizes& sizes) {
  const auto end = std::min<std::size_t>(bytes.size(), sizes.most);
  if (end <= sizes.least) return static_cast<std::uint32_t>(end);
  const auto* data = reinterpret_cast<const unsigned char*>(bytes.data());
  const int bits = std::countr_zero(sizes.average);
  std::uint64_t hash = 0;
  const auto middle = std::min<std::size_t>(end, sizes.average);
  auto cut = roll(data, sizes.least, middle, high_bits(bits + 2), hash);
  if (!cut.found) cut = roll(data, middle, end, high_bits(bits - 2), hash);
  return static_cast<std::uint32_t>(cut.position);
}

}  // namespace berth::objects
