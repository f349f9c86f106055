#pragma once

// A snapshot on its way: one stream that carries what the receiver lacks. Format version 1:
//
//   "BRTHPAK1", digest of the target manifest, number: bases, their digests
//   manifest:  encoding byte (0 raw, 1 zstd, 2 delta, then number: which base), number: size, number: stored size,
//              bytes
//   records:   'F' frame   number: objects, their sizes, encoding byte, number: stored size, bytes (as in a
//              container)
//              'D' delta   number: which base, number: index of its entry, number: size, number: stored size, bytes
//   'E', number: objects in all; the end
//
// Objects carry no names: the receiver computes each digest, and takes only what the target names. A recipe
// comes before the chunks it names. Deltas refer to objects of the base snapshots only.

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>

#include "runtime/objects/store.hpp"
#include "runtime/os/fd.hpp"
#include "runtime/snapshot/content.hpp"
#include "runtime/snapshot/manifest.hpp"
#include "runtime/snapshot/owners_view.hpp"

namespace berth::snapshot {

using Sink = std::function<void(std::string_view)>;
// Bytes of content done and in all, before compression.
using Progress = std::function<void(std::uint64_t done, std::uint64_t total)>;

inline constexpr std::size_t kMostBases = 8;

struct PackOptions {
  Progress progress;
  // Gets the small files sent, compressed as they were sent; for the sender's own cache.
  objects::Batch* keep = nullptr;
};

struct PackReport {
  std::uint64_t objects = 0;
  std::uint64_t deltas = 0;      // of these
  std::uint64_t raw_bytes = 0;   // of all objects
  std::uint64_t pack_bytes = 0;  // handed to the sink
};

// `bases` are snapshots the receiver is believed to have, the likeliest relative first.
PackReport write_pack(const Manifest& target, std::span<const Manifest> bases, Content& content, const Sink& sink,
                      const PackOptions& options = {});

class ByteSource {
 public:
  virtual ~ByteSource() = default;
  // Up to room.size() bytes; 0 only at the end.
  virtual std::size_t read(std::span<char> room) = 0;
};

class MemorySource : public ByteSource {
 public:
  explicit MemorySource(std::string_view bytes) : bytes_(bytes) {}
  std::size_t read(std::span<char> room) override;

 private:
  std::string_view bytes_;
};

class FdSource : public ByteSource {
 public:
  explicit FdSource(const os::Fd& fd) : fd_(fd) {}
  std::size_t read(std::span<char> room) override { return os::read_some(fd_, room); }

 private:
  const os::Fd& fd_;
};

struct ReceiveLimits {
  std::uint64_t most_bytes = 1ULL << 44;  // of the snapshot's files
  std::uint64_t most_entries = 4'000'000;
  // Told the bytes of contents received so far, before any is published; throws where they are too many.
  std::function<void(std::uint64_t)> allow{};
};

struct Received {
  Manifest manifest;
  std::uint64_t objects = 0;    // that came
  std::uint64_t raw_bytes = 0;  // of these, before compression
  objects::Store::Pin pin;      // keep it until the snapshot is on record
};

// Publishes the snapshot with one sync, or nothing. The snapshot may be made only of what is in the pack and of what
// its bases name, and its bases must be the owner's: whatever else the store holds counts as absent, and what comes is
// stored without asking whether others have it, so that an owner learns nothing of them from answers, sizes or times.
// (A sweep merges what is large.)
//
// Code::not_found where a base is not here: the sender then sends a pack without bases. Code::corrupt, Code::too_large
// for what is malformed or incomplete.
Received receive_pack(objects::Store& store, const OwnersView& view, ByteSource& source,
                      const ReceiveLimits& limits = {});

}  // namespace berth::snapshot
