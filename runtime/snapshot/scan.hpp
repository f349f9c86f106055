#pragma once

// From a directory to a manifest. Only what is new or changed since the cached scan is read. Symbolic links
// are recorded, never followed; `.git` is always left out; ignore files have git's semantics, nested ones
// included: `.amlignore` where the root has one, else `.gitignore`.

#include <cstdint>
#include <functional>
#include <string>
#include <unordered_map>
#include <vector>

#include "runtime/base/digest.hpp"
#include "runtime/os/fd.hpp"
#include "runtime/snapshot/left_out.hpp"
#include "runtime/snapshot/manifest.hpp"
#include "runtime/snapshot/tree.hpp"

namespace berth::snapshot {

class StatCache;

enum class IgnoreFiles { honour, none };

struct ScanOptions {
  IgnoreFiles ignore_files = IgnoreFiles::honour;
  // What cannot be part of a snapshot (unreadable, a name that is not UTF-8, never at rest, too much): an Error that
  // names it and the remedy; or, for trees that no user is there to mend, told in Scan::left_out. What only has an
  // impossible name is then taken under one that can be written: "\xff" in place of a byte.
  enum class Problems { fail, leave_out } problems = Problems::fail;
  const StatCache* cache = nullptr;
  // Whether the recipe of an unchanged large file is at hand; without it such a file is read again.
  std::function<bool(const Digest&)> has_recipe;
  std::uint64_t most_bytes = 1ULL << 50;  // Code::too_large above
  std::uint64_t most_entries = 4'000'000;
  std::size_t deepest = kDeepest;  // of directories, the root included
  bool one_file_system = false;    // what is mounted below is none of it
};

// What a job or a user left in a directory, taken as it is: no rules, no cache, and nothing makes it fail.
ScanOptions collecting();

struct Scan {
  Manifest manifest;
  std::vector<std::string> warnings;
  LeftOuts left_out;
  // The names on disk of those entries of the manifest that have another one there.
  std::unordered_map<std::uint32_t, std::string> real_names;
  std::unordered_map<Digest, std::string> recipes;  // of the large files read by this scan
  std::uint64_t files_read = 0;
  std::uint64_t bytes_read = 0;

  // For the stat cache and for reading the same contents later: one stamp per entry of the manifest.
  std::vector<Stamp> stamps;
  Stamp root_stamp;
  std::string ignore_name;
  std::int64_t started = 0;  // nanoseconds since the epoch

  // Where an entry of the manifest is below the root that was scanned.
  std::string path_on_disk(std::uint32_t entry) const;
};

Scan scan(const os::Fd& root, const ScanOptions& options);
Scan scan(const std::string& root, const ScanOptions& options);

}  // namespace berth::snapshot
