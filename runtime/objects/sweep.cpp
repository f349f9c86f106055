// How a store gives space back, and how it keeps its containers few.

#include <unistd.h>

#include <algorithm>

#include "runtime/base/error.hpp"
#include "runtime/objects/container.hpp"
#include "runtime/objects/store.hpp"

namespace berth::objects {
namespace {

constexpr std::size_t kMostContainers = 64;
constexpr std::size_t kContainersAfterMerge = 32;
constexpr std::uint64_t kWorthMerging = 256ULL << 20;  // a larger one is never copied just to save a file
// A smaller object stays wherever it is stored: that two of them became one can be seen in the free disk space, and
// small contents can be guessed.
constexpr std::uint64_t kWorthSharing = 64ULL << 10;
constexpr std::uint64_t kDeadPercent = 25;  // a container with more dead bytes than this is rewritten
constexpr std::uint64_t kDeadPercentWhenShort = 5;

struct FrameContent {
  std::vector<Item> live;
  std::vector<std::uint32_t> offsets;
  std::uint64_t live_bytes = 0;
  std::uint64_t dead = 0;
};

// What is alive in each frame, in the frame's order. With `live`, of a large object the first place alone is, which is
// taken out of it.
std::vector<FrameContent> contents_of(const Container& container, DigestSet* live) {
  std::vector<std::size_t> order(container.places().size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    const auto &left = container.places()[a], &right = container.places()[b];
    return std::pair(left.offset, left.size) < std::pair(right.offset, right.size);
  });
  std::vector<FrameContent> frames(container.frames().size());
  for (const auto i : order) {
    const auto& place = container.places()[i];
    auto& frame = frames[place.frame];
    const auto& digest = container.digests()[i];
    const bool alive =
        live == nullptr || (place.size < kWorthSharing ? live->contains(digest) : live->erase(digest) > 0);
    if (!alive) {
      ++frame.dead;
      continue;
    }
    frame.live.push_back({digest, place.size});
    frame.offsets.push_back(place.offset);
    frame.live_bytes += place.size;
  }
  return frames;
}

bool fills(const FrameContent& content, const FrameRecord& frame) {
  std::uint32_t expected = 0;
  for (std::size_t i = 0; i < content.live.size(); ++i) {
    if (content.offsets[i] != expected) return false;
    expected += content.live[i].size;
  }
  return expected == frame.raw;
}

struct Condition {
  std::uint64_t dead_objects = 0;
  std::uint64_t live_objects = 0;
  std::uint64_t dead_bytes = 0;  // raw
  std::uint64_t raw_bytes = 0;
};

Condition condition_of(const Container& container, const std::vector<FrameContent>& contents) {
  Condition condition;
  for (std::size_t i = 0; i < contents.size(); ++i) {
    condition.dead_objects += contents[i].dead;
    condition.live_objects += contents[i].live.size();
    condition.raw_bytes += container.frames()[i].raw;
    condition.dead_bytes +=
        container.frames()[i].raw - std::min<std::uint64_t>(contents[i].live_bytes, container.frames()[i].raw);
  }
  return condition;
}

// Frames that are wholly alive are copied as they are; the live objects of others are compressed again.
template <class Append>
void copy_live(const Container& container, const std::vector<FrameContent>& contents, Batch& into, Append append) {
  Buffer stored;
  Buffer raw;
  Decompressor decompressor;
  for (std::size_t i = 0; i < contents.size(); ++i) {
    const auto& frame = container.frames()[i];
    const auto& content = contents[i];
    if (content.live.empty()) continue;
    container.read_stored(frame, stored);
    const auto encoding = static_cast<Encoding>(frame.encoding);
    if (fills(content, frame)) {
      into.add_frame(content.live, encoding, stored.view());
      continue;
    }
    raw.resize(frame.raw);
    decode_frame(decompressor, encoding, stored.view(), raw.span());
    for (std::size_t k = 0; k < content.live.size(); ++k)
      append(content.live[k].digest, raw.view().substr(content.offsets[k], content.live[k].size));
  }
}

}  // namespace

// Merging the smallest halves the count each time, so a byte is copied about once per doubling.
void Store::merge_small(os::Durable durable) {
  auto small = *containers();
  if (small.size() <= kMostContainers) return;
  std::erase_if(small, [](const auto& container) { return container->file_size() > kWorthMerging; });
  std::sort(small.begin(), small.end(), [](const auto& a, const auto& b) { return a->file_size() < b->file_size(); });
  const auto count = containers()->size() - kContainersAfterMerge;
  if (small.size() > count) small.resize(count);
  if (small.size() < 2) return;
  Batch merged(*this);
  for (const auto& container : small)
    copy_live(*container, contents_of(*container, nullptr), merged,
              [&](const Digest& digest, std::string_view bytes) { merged.append(digest, bytes); });
  merged.flush();
  if (!merged.writer_) return;
  Containers added{adopt(*merged.writer_, durable)};
  merged.writer_.reset();
  drop(small, std::move(added));
}

// A container with something in it that nobody needs.
struct Store::Garbage {
  std::shared_ptr<const Container> container;
  std::vector<FrameContent> contents;
  Condition condition;

  bool is_dead() const { return condition.live_objects == 0; }
  std::uint64_t bytes_to_free() const {
    const auto size = container->file_size();
    const auto [dead, raw] = std::pair(condition.dead_bytes, condition.raw_bytes);
    if (is_dead() || raw == 0) return size;
    return size / raw * dead + size % raw * dead / raw;
  }
};

// The dead ones first. In the order of look-ups, so that the place that is found is the one that stays.
std::vector<Store::Garbage> Store::garbage(DigestSet alive, Thorough thorough) const {
  const auto percent = thorough == Thorough::yes ? kDeadPercentWhenShort : kDeadPercent;
  std::vector<Garbage> result;
  const auto list = containers();
  for (const auto& container : *list) {
    auto contents = contents_of(*container, &alive);
    const auto condition = condition_of(*container, contents);
    const bool worth = condition.dead_bytes * 100 > condition.raw_bytes * percent;
    if (condition.live_objects == 0 || worth) result.push_back({container, std::move(contents), condition});
  }
  std::stable_partition(result.begin(), result.end(), [](const Garbage& one) { return one.is_dead(); });
  return result;
}

void Store::rewrite(const Garbage& garbage) {
  Containers added;
  Batch survivors(*this);
  copy_live(*garbage.container, garbage.contents, survivors,
            [&](const Digest& digest, std::string_view bytes) { survivors.append(digest, bytes); });
  survivors.flush();
  if (survivors.writer_) {
    added.push_back(adopt(*survivors.writer_, os::Durable::yes));
    survivors.writer_.reset();
  }
  drop({garbage.container}, std::move(added));
}

SweepReport Store::sweep(const std::function<DigestSet()>& live, DryRun dry_run, Thorough thorough) {
  SweepReport report;
  const std::lock_guard writing(writing_);
  {
    const std::lock_guard lock(mutex_);
    sweeping_ = true;
  }
  const auto ended = [this](void*) {
    const std::lock_guard lock(mutex_);
    sweeping_ = false;
    released_.clear();
    complete_.clear();
  };
  const std::unique_ptr<void, decltype(ended)> end(this, ended);

  for (const auto& one : garbage(live(), thorough)) {
    try {
      if (dry_run == DryRun::no) one.is_dead() ? drop({one.container}, {}) : rewrite(one);
    } catch (const Error& error) {
      if (error.code() != Code::no_space) throw;
      report.no_space = true;
      continue;
    }
    report.objects_removed += one.condition.dead_objects;
    report.bytes_freed += one.bytes_to_free();
    if (!one.is_dead()) ++report.containers_rewritten;
  }
  return report;
}

void Store::visit(const std::function<void(const Digest&, std::uint64_t bytes)>& visitor) const {
  const auto list = containers();
  for (const auto& container : *list) {
    for (std::size_t i = 0; i < container->digests().size(); ++i) {
      const auto& place = container->places()[i];
      const auto& frame = container->frames()[place.frame];
      visitor(container->digests()[i], frame.raw == 0 ? 0 : std::uint64_t{frame.stored} * place.size / frame.raw);
    }
  }
}

Store::Pin Store::pin(const Root& root) {
  const std::lock_guard lock(mutex_);
  return {*this, pinned_.insert(pinned_.end(), root)};
}

// Whoever reads the roots on record and then the pinned ones sees what went from here to there meanwhile, and what a
// transfer looked for while it was still on record.
void Store::release(std::list<Root>::iterator pinned) {
  const std::lock_guard lock(mutex_);
  if (sweeping_)
    released_.splice(released_.end(), pinned_, pinned);
  else
    pinned_.erase(pinned);
}

std::vector<Root> Store::pinned() const {
  const std::lock_guard lock(mutex_);
  std::vector<Root> roots(pinned_.begin(), pinned_.end());
  roots.insert(roots.end(), released_.begin(), released_.end());
  return roots;
}

}  // namespace berth::objects
