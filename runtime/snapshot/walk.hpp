#pragma once

// The first half of a scan: which entries there are and which of them must be read. Internal to
// runtime/snapshot.

#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/snapshot/scan.hpp"

namespace berth::snapshot {

// One entry found, in depth-first order.
struct Node {
  Kind kind = Kind::file;
  bool unread = false;   // a file whose content is not known yet
  bool dropped = false;  // gone, or left out
  std::uint32_t parent = Manifest::kRoot;
  std::uint32_t subtree_end = 0;
  std::string_view name;
  std::string_view real;  // on disk, where that is another one
  std::string_view target;
  std::uint64_t size = 0;
  Stamp stamp;
  Digest digest;
};

struct Found {
  std::vector<Node> nodes;
  std::deque<std::string> texts;  // what names and targets view, where it is not the cache
  std::size_t unread = 0;
  std::uint64_t unread_bytes = 0;
  bool renamed = false;    // some node has another name on disk
  bool as_cached = false;  // the tree is exactly the cached one

  std::string path(std::uint32_t node) const;
  std::string path_on_disk(std::uint32_t node) const;
};

// Fills in `result`'s warnings, root_stamp and ignore_name.
Found walk(const os::Fd& root, const ScanOptions& options, Scan& result);

}  // namespace berth::snapshot
