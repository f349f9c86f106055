#include "runtime/snapshot/recipe.hpp"

#include <cstring>

#include "runtime/base/error.hpp"
#include "runtime/objects/chunker.hpp"
#include "runtime/snapshot/wire.hpp"

namespace berth::snapshot {
namespace {

constexpr std::string_view kMagic = "BRTHRCP1";
constexpr std::size_t kChunkBytes = 36;

}  // namespace

Recipe Recipe::parse(std::string_view bytes, std::uint64_t file_size) {
  Parser parser(bytes, "the list of a large file's chunks");
  if (parser.left() < kMagic.size() || parser.take(kMagic.size()) != kMagic || parser.left() % kChunkBytes != 0)
    parser.fail("it is none of a version known here");
  Recipe recipe;
  recipe.chunks_.reserve(parser.left() / kChunkBytes);
  while (!parser.at_end()) {
    const auto digest = parser.digest();
    std::uint32_t size;
    std::memcpy(&size, parser.take(sizeof size).data(), sizeof size);
    if (size == 0 || size > objects::kLargestChunk) parser.fail("a chunk has an impossible size");
    recipe.add(digest, size);
  }
  if (recipe.file_size_ != file_size) parser.fail("the chunks do not add up to the file");
  return recipe;
}

void Recipe::add(const Digest& digest, std::uint32_t size) {
  chunks_.push_back({digest, size, file_size_});
  file_size_ += size;
}

std::string Recipe::bytes() const {
  std::string bytes(kMagic);
  bytes.reserve(kMagic.size() + kChunkBytes * chunks_.size());
  for (const auto& chunk : chunks_) {
    put_digest(bytes, chunk.digest);
    bytes.append(reinterpret_cast<const char*>(&chunk.size), sizeof chunk.size);
  }
  return bytes;
}

}  // namespace berth::snapshot
