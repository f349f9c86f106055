#include "runtime/logs/mask.hpp"

#include <string.h>

#include <algorithm>
#include <set>

namespace berth::logs {
namespace {

constexpr std::size_t kLongest = 4096;  // a longer one is hidden in parts
constexpr char kStar = '*';

// Up to the bounds.
class Lines {
 public:
  void add(std::string_view line) {
    while (line.ends_with('\r')) line.remove_suffix(1);
    for (; line.size() > kLongest; line.remove_prefix(kLongest)) take(line.substr(0, kLongest));
    if (line.size() >= Mask::kLeast) take(line);
  }
  bool full() const { return texts_.size() == Mask::kMost || bytes_ >= Mask::kMostBytes; }
  std::vector<std::string> sorted() const { return {texts_.begin(), texts_.end()}; }

 private:
  void take(std::string_view text) {
    if (!full() && texts_.emplace(text).second) bytes_ += text.size();
  }

  std::set<std::string> texts_;
  std::size_t bytes_ = 0;
};

std::size_t find_in(std::string_view text, std::string_view part, std::size_t from) {
  if (from > text.size()) return text.npos;
  const auto* found = static_cast<const char*>(::memmem(text.data() + from, text.size() - from, part.data(), part.size()));
  return found == nullptr ? text.npos : static_cast<std::size_t>(found - text.data());
}

// How many bytes at the end of `text` could be the beginning of `part`.
std::size_t begun(std::string_view text, std::string_view part) {
  for (auto length = std::min(text.size(), part.size() - 1); length > 0; --length)
    if (text.ends_with(part.substr(0, length))) return length;
  return 0;
}

}  // namespace

Mask::Mask(const std::vector<std::string>& hidden) {
  Lines lines;
  for (std::string_view text : hidden) {
    for (std::size_t at = 0; at < text.size() && !lines.full();) {
      const auto end = std::min(text.find('\n', at), text.size());
      lines.add(text.substr(at, end - at));
      at = end + 1;
    }
  }
  texts_ = lines.sorted();
  for (const auto& text : texts_) longest_ = std::max(longest_, text.size());
}

std::string Mask::apply(std::string_view text) const {
  Masking masking(*this);
  auto shown = masking.feed(text);
  return shown += masking.finish();
}

void Masking::prime(std::string_view before) {
  const auto shown = feed(before);
  primed_ = before.size() - shown.size();
}

std::string Masking::feed(std::string_view bytes) {
  held_ += bytes;
  auto shown = held_;
  std::size_t hold = 0;
  for (const auto& text : mask_.texts()) hold = std::max(hold, begun(held_, text));
  const auto sure = held_.size() - hold;
  auto covered = covered_ > sure ? covered_ - sure : 0;
  std::fill_n(shown.begin(), covered_, kStar);
  for (const auto& text : mask_.texts()) {
    std::size_t done = 0;  // what is filled already: a text may overlap itself
    for (auto at = find_in(held_, text, 0); at != held_.npos; at = find_in(held_, text, at + 1)) {
      const auto end = at + text.size();
      const auto begin = std::max(at, done);
      std::fill_n(shown.begin() + static_cast<std::ptrdiff_t>(begin), end - begin, kStar);
      done = end;
      if (at < sure && end > sure) covered = std::max(covered, end - sure);
    }
  }
  shown.resize(sure);
  held_.erase(0, sure);
  covered_ = covered;
  return unseen(std::move(shown));
}

std::string Masking::finish() {
  auto shown = std::move(held_);
  held_.clear();
  std::fill_n(shown.begin(), shown.size() >= Mask::kLeast ? shown.size() : covered_, kStar);
  covered_ = 0;
  return unseen(std::move(shown));
}

// Without what only primed it.
std::string Masking::unseen(std::string text) {
  const auto drop = std::min(primed_, text.size());
  primed_ -= drop;
  return text.erase(0, drop);
}

}  // namespace berth::logs
