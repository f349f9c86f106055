#include "runtime/snapshot/diff.hpp"

namespace berth::snapshot {
namespace {

constexpr auto kNone = Manifest::kRoot;

std::string_view bytes_of(const Manifest& manifest, std::uint32_t i) {
  return manifest.bytes().substr(manifest[i].bytes_begin, manifest[i].bytes_end - manifest[i].bytes_begin);
}

struct Range {
  std::uint32_t at;
  std::uint32_t end;
};

class Comparison {
 public:
  Comparison(const Manifest& before, const Manifest& after,
             const std::function<void(std::uint32_t, std::uint32_t)>& differs)
      : before_(before), after_(after), differs_(differs) {}

  void merge(Range a, Range b) {
    while (a.at < a.end || b.at < b.end) {
      const bool only_before = b.at >= b.end || (a.at < a.end && before_[a.at].name < after_[b.at].name);
      const bool only_after = a.at >= a.end || (b.at < b.end && after_[b.at].name < before_[a.at].name);
      if (only_before) {
        differs_(a.at, kNone);
      } else if (only_after) {
        differs_(kNone, b.at);
      } else {
        same_name(a.at, b.at);
      }
      if (!only_after) a.at = before_[a.at].subtree_end;
      if (!only_before) b.at = after_[b.at].subtree_end;
    }
  }

 private:
  void same_name(std::uint32_t a, std::uint32_t b) {
    if (bytes_of(before_, a) == bytes_of(after_, b)) return;
    if (before_[a].is_directory() && after_[b].is_directory())
      return merge({a + 1, before_[a].subtree_end}, {b + 1, after_[b].subtree_end});
    differs_(a, b);
  }

  const Manifest& before_;
  const Manifest& after_;
  const std::function<void(std::uint32_t, std::uint32_t)>& differs_;
};

void tell_subtree(std::vector<Change>& changes, const Manifest& manifest, std::uint32_t i, ChangeKind kind) {
  for (auto k = i; k < manifest[i].subtree_end; ++k) changes.push_back({kind, manifest.path(k)});
}

}  // namespace

void compare(const Manifest& before, const Manifest& after,
             const std::function<void(std::uint32_t before, std::uint32_t after)>& differs) {
  if (before == after) return;
  Comparison(before, after, differs)
      .merge({0, static_cast<std::uint32_t>(before.entries().size())},
             {0, static_cast<std::uint32_t>(after.entries().size())});
}

std::vector<Change> diff(const Manifest& before, const Manifest& after) {
  std::vector<Change> changes;
  compare(before, after, [&](std::uint32_t a, std::uint32_t b) {
    if (a != kNone && b != kNone && !before[a].is_directory() && !after[b].is_directory()) {
      changes.push_back({ChangeKind::changed, after.path(b)});
      return;
    }
    if (a != kNone) tell_subtree(changes, before, a, ChangeKind::removed);
    if (b != kNone) tell_subtree(changes, after, b, ChangeKind::added);
  });
  return changes;
}

}  // namespace berth::snapshot
