#pragma once

// What changed from one snapshot to another. Equal subtrees are skipped by comparing their canonical bytes.

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "runtime/snapshot/manifest.hpp"

namespace berth::snapshot {

enum class ChangeKind { added, removed, changed };

struct Change {
  ChangeKind kind;
  std::string path;

  friend bool operator==(const Change&, const Change&) = default;
};

// Every entry that differs, directories too: an added or removed directory is told with all that is below it.
// A directory is not `changed` because of its content.
std::vector<Change> diff(const Manifest& before, const Manifest& after);

// The same by index. `before`/`after` is Manifest::kRoot where the entry is absent there. A subtree that is
// only on one side is told by its topmost entry alone.
void compare(const Manifest& before, const Manifest& after,
             const std::function<void(std::uint32_t before, std::uint32_t after)>& differs);

}  // namespace berth::snapshot
