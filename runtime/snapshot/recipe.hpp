#pragma once

// How a file above kSmallFile is made of chunks. A recipe is an object of its own, named by its digest, which
// stands in the manifest in place of the content's. Format version 1:
//
//   "BRTHRCP1", then for each chunk in order its digest and its size as u32, little-endian

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/base/digest.hpp"

namespace berth::snapshot {

struct Chunk {
  Digest digest;
  std::uint32_t size = 0;
  std::uint64_t offset = 0;  // in the file
};

class Recipe {
 public:
  // Code::corrupt where it is malformed or does not add up to `file_size`.
  static Recipe parse(std::string_view bytes, std::uint64_t file_size);
  void add(const Digest& digest, std::uint32_t size);
  const std::vector<Chunk>& chunks() const& { return chunks_; }
  const std::vector<Chunk>& chunks() && = delete;  // it would not outlive the expression
  std::uint64_t file_size() const { return file_size_; }
  std::string bytes() const;

 private:
  std::vector<Chunk> chunks_;
  std::uint64_t file_size_ = 0;
};

}  // namespace berth::snapshot
