#pragma once

// What somebody left in some directories, gathered by a program that runs as that user and received by one that trusts
// neither: the gatherer (collect_main.cpp) reads the trees with the user's rights and sends what was left out, then a
// pack; the receiver takes the pack like any other's.
//
//   request:  what collect() is told, over a file
//   answer:   "BRTHCOL1", u32 length (little-endian), then that much: how many were left out, how many of them follow,
//             each as path and reason; then a pack, or nothing where there is nothing to keep

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "runtime/base/digest.hpp"
#include "runtime/objects/store.hpp"
#include "runtime/os/fd.hpp"
#include "runtime/snapshot/left_out.hpp"
#include "runtime/snapshot/manifest.hpp"
#include "runtime/snapshot/pack.hpp"

namespace berth::snapshot {

struct CollectionRequest {
  std::vector<std::string> directories;  // relative to `base`; kept under these very paths
  std::string base;                      // a directory of the root; "": the root itself
  // What the root was known as while the tree was in use: a link that begins with it leads into the root.
  std::string known_as;
  std::uint64_t most_bytes = 1ULL << 40;  // of the files, as they are long: holes count
  std::uint64_t most_entries = 1'000'000;
  // What the tree was made from: files that are still as it brought them are left out without a word.
  std::optional<Manifest> code;

  std::string to_bytes() const;
  static CollectionRequest from_bytes(const std::string& bytes);  // Code::corrupt
};

// Of a job's directories, links included where they stay within the root. Symbolic links below them are kept, not
// followed. Whatever cannot be taken is told in the answer; Code::conflict where a file changed between two looks.
void collect(const os::Fd& root, const CollectionRequest& request, const Sink& answer);

// Whether there is anything at all for collect() to look at, links and files in a directory's place included. Follows
// nothing, reads nothing.
bool anything_to_collect(const os::Fd& root, const CollectionRequest& request);

struct Collection {
  std::optional<Digest> snapshot;  // nothing where nothing was left
  std::uint64_t bytes = 0;         // of its files
  LeftOuts left_out;
  objects::Store::Pin pin;  // keep it until the snapshot is on record
};

// Code::corrupt, Code::too_large for an answer that is none.
Collection receive_collection(objects::Store& store, ByteSource& answer, const ReceiveLimits& limits);

}  // namespace berth::snapshot
