#pragma once

// What a job leaves behind, as a snapshot.

#include <optional>
#include <string>
#include <vector>

#include "runtime/base/digest.hpp"
#include "runtime/base/units.hpp"
#include "runtime/objects/store.hpp"
#include "runtime/os/fd.hpp"
#include "runtime/os/identity.hpp"
#include "runtime/snapshot/manifest.hpp"

namespace berth::jobs {

struct Collected {
  std::optional<Digest> outputs;  // nothing where the job left nothing
  ByteSize size;                  // of all its files
  std::vector<std::string> warnings;
};

// Stores what lies in the directories `outputs` under these very paths, read with `owner`'s rights. They are relative
// to the directory `base` of `root`. Symbolic links are kept, never followed, not even in the paths. With `code`, the
// snapshot that `root` was made from, files that are still what it brought are left out. Of what the store has only
// `own`, the snapshots of the same owner that are likely to have the same files, is not stored again: how long it takes
// tells nothing of others.
Collected collect_outputs(objects::Store& store, const os::Fd& root, const os::Identity& owner,
                          const std::vector<std::string>& outputs, const std::optional<snapshot::Manifest>& code,
                          const std::string& base, const std::vector<Digest>& own = {});

}  // namespace berth::jobs
