#pragma once

// What a job leaves behind, as a snapshot: gathered by a program that runs as the job's user (runtime/snapshot's
// collection), received here like anybody's.

#include <chrono>
#include <cstdint>
#include <optional>
#include <stop_token>
#include <string>

#include "runtime/base/digest.hpp"
#include "runtime/base/units.hpp"
#include "runtime/objects/store.hpp"
#include "runtime/os/cgroup.hpp"
#include "runtime/os/fd.hpp"
#include "runtime/os/identity.hpp"
#include "runtime/snapshot/collection.hpp"

namespace berth::drivers {

// The same for all jobs of a node.
struct CollectSettings {
  std::string program;      // berth-collect
  std::string cgroup_base;  // "" where there is no cgroup2 to use
  ByteSize most_bytes{1ULL << 40};
  std::uint64_t most_entries = 1'000'000;
  std::chrono::milliseconds time_limit{7'200'000};
};

struct Collected {
  std::optional<Digest> outputs;  // nothing where the job left nothing
  ByteSize size;                  // of all its files
  snapshot::LeftOuts left_out;
  objects::Store::Pin pin;  // of the outputs, until they are on record
};

// Where from, and as whom.
struct CollectFrom {
  os::Fd tree;       // or, where it is not open …
  std::string path;  // … what the user's own rights lead to
  std::optional<os::Identity> owner;  // nothing: who this process is
  os::Limits limits;                  // of the program that gathers
  snapshot::CollectionRequest request;
};

// Blocks for as long as it takes. Cancelled by `stop`; Code::timeout; other Errors say what failed.
Collected collect_outputs(objects::Store& store, const CollectSettings& settings, const CollectFrom& from,
                          const std::stop_token& stop);

}  // namespace berth::drivers
