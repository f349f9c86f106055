#pragma once

// A frame: many small objects, one after the other, compressed together. The same frame is stored in a
// container and sent in a pack, so neither side compresses twice.

#include <cstdint>
#include <string_view>

#include "runtime/objects/buffer.hpp"
#include "runtime/objects/compression.hpp"

namespace berth::objects {

// planes: bytes 0, 4, 8, … first, then 1, 5, 9, … and so on, what is left over last; and then zstd. Numbers
// of 2 and 4 bytes, as weights are, shrink twice as much and much faster when their exponents stand together.
enum class Encoding : std::uint8_t { raw = 0, zstd = 1, planes = 2 };

// Objects are grouped up to this size; a larger object has a frame of its own.
inline constexpr std::uint64_t kFrameTarget = 4ULL << 20;
// No object, and hence no frame, is larger.
inline constexpr std::uint64_t kLargestObject = 256ULL << 20;

// Fills `stored` with the frame's bytes. A sample decides first: what hardly shrinks is compressed lightly,
// what does not shrink is kept as it is, which is then the fastest in every later step.
Encoding encode_frame(Compressor& compressor, std::string_view raw, Buffer& stored);

// Into `raw`, which has the frame's size; Code::corrupt where the stored bytes do not yield exactly that.
void decode_frame(Decompressor& decompressor, Encoding encoding, std::string_view stored, std::span<char> raw);

}  // namespace berth::objects
