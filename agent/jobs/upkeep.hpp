#pragma once

// Gives disk space back: what no job that is remembered needs any more.

#include <string>
#include <vector>

#include "agent/store/store.hpp"
#include "runtime/async/offload.hpp"
#include "runtime/base/clock.hpp"
#include "runtime/objects/store.hpp"
#include "runtime/snapshot/checkouts.hpp"

namespace berth::jobs {

struct GarbageReport {
  struct Item {
    std::string what;
    std::string why;
    std::uint64_t bytes = 0;
  };
  std::vector<Item> items;
  std::uint64_t bytes() const;
};

class Upkeep {
 public:
  Upkeep(store::Store& store, objects::Store& objects, snapshot::Checkouts& checkouts, async::Pool& pool,
         const Clock& clock);

  // Snapshots and diffs that were sent but that no job uses, a day after; objects that nothing refers to; checkouts
  // that no live job runs in. With DryRun::yes only tells.
  async::Task<GarbageReport> collect_garbage(objects::DryRun dry_run);

 private:
  store::Store& store_;
  objects::Store& objects_;
  snapshot::Checkouts& checkouts_;
  async::Pool& pool_;
  const Clock& clock_;
};

}  // namespace berth::jobs
