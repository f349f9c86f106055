#include "agent/jobs/upkeep.hpp"

#include <numeric>
#include <set>

#include "runtime/snapshot/closure.hpp"

namespace berth::jobs {
namespace {

// A snapshot is sent before the job that uses it; this long may lie between the two.
constexpr auto kUnusedFor = std::chrono::hours(24);

std::string count(std::uint64_t number, const std::string& noun) {
  return std::to_string(number) + " " + noun + (number == 1 ? "" : "s");
}

}  // namespace

std::uint64_t GarbageReport::bytes() const {
  return std::accumulate(items.begin(), items.end(), std::uint64_t{0},
                         [](std::uint64_t sum, const Item& item) { return sum + item.bytes; });
}

Upkeep::Upkeep(store::Store& store, objects::Store& objects, snapshot::Checkouts& checkouts, async::Pool& pool,
               const Clock& clock)
    : store_(store), objects_(objects), checkouts_(checkouts), pool_(pool), clock_(clock) {}

async::Task<GarbageReport> Upkeep::collect_garbage(objects::DryRun dry_run) {
  const bool remove = dry_run == objects::DryRun::no;
  const auto before = clock_.now() - kUnusedFor;
  // Rows go before what they name, so that no job can come to refer to what is being removed.
  if (remove) co_await store_.forget_unused_uploads(before);

  store::Filter filter;
  filter.states = {model::State::preparing, model::State::queued, model::State::running, model::State::finalizing,
                   model::State::cancel_requested};
  filter.limit = 1'000'000;
  const auto live = co_await store_.list(std::move(filter));
  std::set<snapshot::Checkouts::Key> running;
  for (const auto& job : live)
    if (job.request.snapshot) running.insert({job.uid, *job.request.snapshot});

  const auto collect = [&] {
    GarbageReport report;
    const auto live_objects = [&] {
      const auto roots = store_.roots(before);
      auto kept = roots.snapshots;
      kept.insert(kept.end(), roots.outputs.begin(), roots.outputs.end());
      auto objects = snapshot::closure(objects_, kept);
      objects.insert(roots.diffs.begin(), roots.diffs.end());
      return objects;
    };
    const auto swept = objects_.sweep(live_objects, dry_run);
    if (swept.busy)
      report.items.push_back({"stored code and outputs", "a transfer is under way; try again later", 0});
    else if (swept.objects_removed > 0)
      report.items.push_back({count(swept.objects_removed, "stored object"),
                              "no job that is remembered refers to them, and no snapshot sent since yesterday",
                              swept.bytes_freed});
    const auto held = checkouts_.usage();
    const auto freed = remove ? checkouts_.sweep(running, 0) : checkouts_.sweepable(running);
    if (freed > 0)
      report.items.push_back({"checkouts of code", "no live job runs in them; of " + to_text(ByteSize(held)) + " in all", freed});
    return report;
  };
  co_return co_await async::offload(pool_, collect);
}

}  // namespace berth::jobs
