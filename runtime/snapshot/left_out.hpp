#pragma once

// What of a tree is not in its snapshot as it was: it could not be read, or has no place in a snapshot.

#include <cstdint>
#include <string>
#include <vector>

namespace berth::snapshot {

struct LeftOut {
  std::string path;  // printable
  std::string why;   // "cannot be read: Permission denied"
  friend bool operator==(const LeftOut&, const LeftOut&) = default;
};

// All are counted, the first ones named.
class LeftOuts {
 public:
  static constexpr std::size_t kNamed = 200;

  void add(std::string path, std::string why) {
    ++count_;
    if (named_.size() < kNamed) named_.push_back({std::move(path), std::move(why)});
  }
  // Of a tree below: its paths begin with `prefix`.
  void add(const LeftOuts& below, const std::string& prefix) {
    count_ += below.count_ - below.named_.size();
    for (const auto& each : below.named_) add(prefix + each.path, each.why);
  }
  // Of those that somebody else counted.
  void count_more(std::uint64_t unnamed) { count_ += unnamed; }

  std::uint64_t count() const { return count_; }
  const std::vector<LeftOut>& named() const { return named_; }
  bool empty() const { return count_ == 0; }

 private:
  std::uint64_t count_ = 0;
  std::vector<LeftOut> named_;
};

}  // namespace berth::snapshot
