#pragma once

// The last scan of a tree and the stamps of its entries, in one file. A file whose stamp is too fresh to be
// told from one changed in the same clock tick is kept without a stamp, so that the next scan reads it again.
// Format version 1:
//
//   "BRTHSTC1", u64 checksum64 of the rest, u64 entries, u64 size of the manifest, root's stamp, entries ×
//   stamp, manifest, name of the ignore file

#include <optional>
#include <string>
#include <vector>

#include "runtime/snapshot/manifest.hpp"
#include "runtime/snapshot/scan.hpp"

namespace berth::snapshot {

class StatCache {
 public:
  // Nothing where the file is absent or not whole: then everything is read again.
  static std::optional<StatCache> load(const std::string& path);
  // Replaces the file in one step; not durable, for it can be made again.
  static void save(const std::string& path, const Scan& scan);

  const Manifest& manifest() const { return manifest_; }
  const Stamp& root_stamp() const { return root_stamp_; }
  const Stamp& stamp(std::size_t entry) const { return stamps_[entry]; }
  const std::string& ignore_name() const { return ignore_name_; }

 private:
  Manifest manifest_;
  Stamp root_stamp_;
  std::vector<Stamp> stamps_;
  std::string ignore_name_;
};

}  // namespace berth::snapshot
