#pragma once

// Content-defined chunks (FastCDC with a 64-bit gear hash): an insertion moves cut points only near itself,
// so the rest of a large file keeps its chunks. The table, the masks and the sizes below are part of the
// snapshot format: changing one makes every large file look new.

#include <cstdint>
#include <string_view>

namespace berth::objects {

struct ChunkSizes {
  std::uint32_t least;
  std::uint32_t average;  // a power of two
  std::uint32_t most;
};

// Larger files get larger chunks, so that the list of a file's chunks stays below 20 MiB:
// up to 64 MiB 8 KiB, up to 1 GiB 32 KiB, up to 64 GiB 128 KiB, above 1 MiB on average.
ChunkSizes chunk_sizes_for(std::uint64_t file_size);

inline constexpr std::uint32_t kLargestChunk = 4U << 20;

// The length of the first chunk of `bytes`, which holds at least sizes.most bytes or the end of the file.
std::uint32_t next_chunk(std::string_view bytes, const ChunkSizes& sizes);

}  // namespace berth::objects
