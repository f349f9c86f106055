#include "runtime/objects/chunker.hpp"

#include <doctest/doctest.h>

#include <set>
#include <string>
#include <vector>

#include "runtime/objects/sha256.hpp"
#include "tests/runtime/objects/random_bytes.hpp"

using namespace berth;
using namespace berth::objects;

namespace {

std::vector<std::string_view> chunks_of(std::string_view bytes, const ChunkSizes& sizes) {
  std::vector<std::string_view> chunks;
  while (!bytes.empty()) {
    chunks.push_back(bytes.substr(0, next_chunk(bytes, sizes)));
    bytes.remove_prefix(chunks.back().size());
  }
  return chunks;
}

}  // namespace

TEST_CASE("chunks keep to their sizes and are on average about as large as wanted") {
  const auto bytes = random_bytes(4 << 20, 1);
  const auto sizes = chunk_sizes_for(bytes.size());
  const auto chunks = chunks_of(bytes, sizes);
  for (std::size_t i = 0; i + 1 < chunks.size(); ++i) {
    CHECK(chunks[i].size() > sizes.least);
    CHECK(chunks[i].size() <= sizes.most);
  }
  const auto average = bytes.size() / chunks.size();
  CHECK(average > sizes.average * 3 / 4);
  CHECK(average < sizes.average * 3 / 2);
}

TEST_CASE("a byte inserted changes a few chunks only") {
  auto bytes = random_bytes(4 << 20, 2);
  const auto sizes = chunk_sizes_for(bytes.size());
  std::set<Digest> before;
  for (const auto chunk : chunks_of(bytes, sizes)) before.insert(sha256(chunk));
  bytes.insert(bytes.size() / 2, "!");
  int fresh = 0;
  for (const auto chunk : chunks_of(bytes, sizes)) fresh += before.contains(sha256(chunk)) ? 0 : 1;
  CHECK(fresh >= 1);
  CHECK(fresh <= 4);
}

TEST_CASE("bytes without any structure are cut at the largest size") {
  const std::string zeros(1 << 20, '\0');
  const auto sizes = chunk_sizes_for(zeros.size());
  for (const auto chunk : chunks_of(zeros, sizes)) CHECK(chunk.size() == chunks_of(zeros, sizes).front().size());
}

TEST_CASE("larger files have larger chunks, and none is larger than the largest allowed") {
  CHECK(chunk_sizes_for(64ULL << 20).average == 8U << 10);
  CHECK(chunk_sizes_for((64ULL << 20) + 1).average == 32U << 10);
  CHECK(chunk_sizes_for((1ULL << 30) + 1).average == 128U << 10);
  CHECK(chunk_sizes_for((64ULL << 30) + 1).average == 1U << 20);
  CHECK(chunk_sizes_for(1ULL << 40).most == kLargestChunk);
}

TEST_CASE("the cut points are those of format version 1") {
  const auto bytes = random_bytes(1 << 20, 3);
  Sha256 cuts;
  for (const auto chunk : chunks_of(bytes, chunk_sizes_for(bytes.size())))
    cuts.update(std::to_string(chunk.size()) + " ");
  CHECK(cuts.finish().brief() == "407d485e9458");
}
