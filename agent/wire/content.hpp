#pragma once

// What is sent to the agent and had from it beside jobs: snapshots, diffs, the index of a log.

#include <cstdint>
#include <vector>

#include "runtime/base/fields.hpp"

namespace berth::wire {

struct Snapshot {
  Digest digest;
  std::uint64_t files = 0;
  ByteSize bytes;
};
void describe(Fields& fields, Snapshot& snapshot);

struct Diff {
  Digest digest;
};
void describe(Fields& fields, Diff& diff);

// When which byte of a log was written: [size, unix microseconds], at that time the log had so many bytes.
struct LogIndex {
  std::vector<std::vector<std::int64_t>> entries;
};
void describe(Fields& fields, LogIndex& index);

}  // namespace berth::wire
