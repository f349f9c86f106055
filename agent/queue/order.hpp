#pragma once

// The order of waiting jobs, and a set of them that tells in O(log n) how many come before one.

#include <ext/pb_ds/assoc_container.hpp>
#include <ext/pb_ds/tree_policy.hpp>

#include "agent/queue/waiting.hpp"

namespace berth::queue {

// A job's place: less comes first.
struct Rank {
  int priority = 0;
  Sequence sequence;
  friend bool operator==(const Rank&, const Rank&) = default;
  friend bool operator<(const Rank& a, const Rank& b) {
    return a.priority != b.priority ? a.priority > b.priority : a.sequence < b.sequence;
  }
};

// order_of_key(rank): how many come before it.
using Order = __gnu_pbds::tree<Rank, __gnu_pbds::null_type, std::less<Rank>, __gnu_pbds::rb_tree_tag,
                               __gnu_pbds::tree_order_statistics_node_update>;

// Any strict order of resources, for lookup.
struct ByAmounts {
  bool operator()(const model::Resources& a, const model::Resources& b) const {
    if (a.cpu_milli != b.cpu_milli) return a.cpu_milli < b.cpu_milli;
    if (a.memory != b.memory) return a.memory < b.memory;
    if (a.gpus != b.gpus) return a.gpus < b.gpus;
    if (a.slots != b.slots) return a.slots < b.slots;
    return a.gpu_memory < b.gpu_memory;
  }
};

}  // namespace berth::queue
