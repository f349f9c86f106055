#include "runtime/objects/frame.hpp"

#include <algorithm>

#include "runtime/base/error.hpp"

namespace berth::objects {
namespace {

constexpr int kLevel = 3;
constexpr int kLightLevel = 1;
constexpr std::size_t kSample = 64U << 10;

constexpr std::size_t kPlanes = 4;

void split_planes(std::string_view raw, char* out) {
  const auto count = raw.size() / kPlanes;
  const char* in = raw.data();
  for (std::size_t i = 0; i < count; ++i, in += kPlanes)
    for (std::size_t plane = 0; plane < kPlanes; ++plane) out[plane * count + i] = in[plane];
  std::copy(raw.begin() + static_cast<std::ptrdiff_t>(count * kPlanes), raw.end(), out + count * kPlanes);
}

void join_planes(std::string_view planes, char* out) {
  const auto count = planes.size() / kPlanes;
  const char* in = planes.data();
  char* end = out;
  for (std::size_t i = 0; i < count; ++i, end += kPlanes)
    for (std::size_t plane = 0; plane < kPlanes; ++plane) end[plane] = in[plane * count + i];
  std::copy(planes.begin() + static_cast<std::ptrdiff_t>(count * kPlanes), planes.end(), end);
}

struct Way {
  Encoding encoding;
  int level;
};

// By how large a sample from the middle stays, in percent.
Way way_for(Compressor& compressor, std::string_view raw, Buffer& scratch) {
  if (raw.size() < 4 * kSample) return {Encoding::zstd, kLevel};
  const auto sample = raw.substr((raw.size() - kSample) / 2, kSample);
  const auto size_of = [&](std::string_view bytes) {
    compressor.compress(bytes, kLightLevel, scratch);
    return std::min(scratch.size(), bytes.size());
  };
  const auto left = size_of(sample) * 100 / kSample;
  if (left <= 80) return {Encoding::zstd, kLevel};
  // Each plane by itself: in a whole frame they are long enough to be in different blocks.
  Buffer planes(kSample);
  split_planes(sample, planes.data());
  std::size_t sum = 0;
  for (std::size_t i = 0; i < kPlanes; ++i)
    sum += size_of(planes.view().substr(i * kSample / kPlanes, kSample / kPlanes));
  const auto planes_left = sum * 100 / kSample;
  if (std::min(left, planes_left) > 96) return {Encoding::raw, 0};
  return {planes_left + 2 <= left ? Encoding::planes : Encoding::zstd, kLightLevel};
}

}  // namespace

Encoding encode_frame(Compressor& compressor, std::string_view raw, Buffer& stored) {
  const auto way = way_for(compressor, raw, stored);
  if (way.encoding == Encoding::planes) {
    auto& planes = compressor.scratch();
    planes.resize(raw.size());
    split_planes(raw, planes.data());
    compressor.compress(planes.view(), way.level, stored);
  } else if (way.encoding == Encoding::zstd) {
    compressor.compress(raw, way.level, stored);
  }
  if (way.encoding != Encoding::raw && stored.size() < raw.size()) return way.encoding;
  stored.clear();
  stored.append(raw);
  return Encoding::raw;
}

void decode_frame(Decompressor& decompressor, Encoding encoding, std::string_view stored, std::span<char> raw) {
  if (encoding == Encoding::zstd) {
    if (decompressor.decompress(stored, raw)) return;
  } else if (encoding == Encoding::planes) {
    auto& planes = decompressor.scratch();
    planes.resize(raw.size());
    if (decompressor.decompress(stored, planes.span())) return join_planes(planes.view(), raw.data());
  } else if (encoding == Encoding::raw && stored.size() == raw.size()) {
    std::copy(stored.begin(), stored.end(), raw.begin());
    return;
  }
  throw Error(Code::corrupt, "a compressed block is damaged");
}

}  // namespace berth::objects
