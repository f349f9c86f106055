#pragma once

// Where the sender of a snapshot takes contents from: the scanned tree, or a store. Used by several threads
// at once.

#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "runtime/objects/buffer.hpp"
#include "runtime/objects/store.hpp"
#include "runtime/os/fd.hpp"
#include "runtime/snapshot/manifest.hpp"
#include "runtime/snapshot/recipe.hpp"
#include "runtime/snapshot/scan.hpp"

namespace berth::snapshot {

class Content {
 public:
  virtual ~Content() = default;
  // All three append exactly the bytes that `entry` of the snapshot being sent names, or throw.
  virtual void small_file(const Manifest& manifest, std::uint32_t entry, objects::Buffer& out) = 0;
  // Chunks that follow one another in the file.
  virtual void chunks(const Manifest& manifest, std::uint32_t entry, std::span<const Chunk> run,
                      objects::Buffer& out) = 0;
  virtual std::string recipe(const Manifest& manifest, std::uint32_t entry) = 0;
  // An object of an earlier snapshot: a small file or a recipe. Nothing where it is not at hand.
  virtual std::optional<std::string> earlier(const Digest& digest) = 0;
};

// The tree as scanned; Code::conflict when a file is no longer as it was then.
class TreeContent : public Content {
 public:
  // All must outlive this; `earlier` may be null.
  TreeContent(const os::Fd& root, const Scan& scan, const objects::Store* earlier)
      : root_(root), scan_(scan), earlier_(earlier) {}

  void small_file(const Manifest& manifest, std::uint32_t entry, objects::Buffer& out) override;
  void chunks(const Manifest& manifest, std::uint32_t entry, std::span<const Chunk> run, objects::Buffer& out) override;
  std::string recipe(const Manifest& manifest, std::uint32_t entry) override;
  std::optional<std::string> earlier(const Digest& digest) override;

 private:
  void read(const Manifest& manifest, std::uint32_t entry, std::uint64_t offset, std::uint64_t size,
            objects::Buffer& out);

  const os::Fd& root_;
  const Scan& scan_;
  const objects::Store* earlier_;
};

class StoreContent : public Content {
 public:
  explicit StoreContent(const objects::Store& store) : store_(store) {}

  void small_file(const Manifest& manifest, std::uint32_t entry, objects::Buffer& out) override;
  void chunks(const Manifest& manifest, std::uint32_t entry, std::span<const Chunk> run, objects::Buffer& out) override;
  std::string recipe(const Manifest& manifest, std::uint32_t entry) override;
  std::optional<std::string> earlier(const Digest& digest) override;

 private:
  const objects::Store& store_;
};

}  // namespace berth::snapshot
