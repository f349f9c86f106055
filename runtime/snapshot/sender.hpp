#pragma once

// The sending side of one tree to one receiver, with what it remembers between runs in a cache directory: the
// stat cache, the snapshot last sent, and the contents of its small files as bases for deltas. The cache only
// ever saves work and bytes: it may be deleted at any time. When another process is using it, this one goes
// on without contents.

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "runtime/base/units.hpp"
#include "runtime/os/lock.hpp"
#include "runtime/snapshot/pack.hpp"
#include "runtime/snapshot/scan.hpp"

namespace berth::snapshot {

class Sender {
 public:
  struct Options {
    ByteSize budget = 1_GiB;  // of contents kept
    IgnoreFiles ignore_files = IgnoreFiles::honour;
  };

  // The cache directory is made where it is missing.
  Sender(const std::string& cache_directory, const std::string& root, Options options);
  Sender(const std::string& cache_directory, const std::string& root) : Sender(cache_directory, root, Options{}) {}
  Sender(Sender&&) noexcept = default;

  Scan scan();
  // Snapshots the receiver was last known to have.
  std::vector<Digest> bases() const;
  // `bases` of those above; none at all after the receiver said that it lacks one.
  PackReport write_pack(const Scan& scan, std::span<const Digest> bases, const Sink& sink,
                        const Progress& progress = {});
  // The receiver has acknowledged it.
  void sent(const Scan& scan);

 private:
  void open_store(ByteSize budget);

  std::string directory_;
  os::Fd root_;
  IgnoreFiles ignore_files_;
  std::optional<os::FileLock> lock_;
  std::optional<Manifest> last_sent_;
  std::unique_ptr<objects::Store> store_;
  std::optional<objects::Batch> kept_;  // after store_: it must go first
};

}  // namespace berth::snapshot
