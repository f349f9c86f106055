#pragma once

#include <string>

#include "runtime/objects/sha256.hpp"
#include "runtime/snapshot/manifest.hpp"
#include "runtime/snapshot/recipe.hpp"
#include "tests/runtime/objects/random_bytes.hpp"

namespace berth::snapshot {

// A file of two chunks.
struct LargeFile {
  std::string chunks[2] = {objects::random_bytes(600'000, 1), objects::random_bytes(600'000, 2)};
  Recipe recipe;

  LargeFile() {
    for (const auto& chunk : chunks) recipe.add(objects::sha256(chunk), 600'000);
  }
  void add_to(ManifestBuilder& builder) const {
    builder.file("large", false, recipe.file_size(), objects::sha256(recipe.bytes()));
  }
};

}  // namespace berth::snapshot
