#pragma once

// Who has come and is not let in yet. Users take turns, so that nobody stands behind the hundreds that another sent at
// once. Pure.

#include <sys/types.h>

#include <cstddef>
#include <deque>
#include <map>
#include <optional>
#include <utility>

namespace berth::http {

template <class Guest>
class Arrivals {
 public:
  void add(uid_t user, Guest guest) {
    lines_[user].push_back(std::move(guest));
    ++size_;
  }

  // The one of the next user's that has waited longest; nothing where nobody waits.
  std::optional<std::pair<uid_t, Guest>> next() {
    if (lines_.empty()) return std::nullopt;
    auto line = last_ ? lines_.upper_bound(*last_) : lines_.begin();
    if (line == lines_.end()) line = lines_.begin();
    last_ = line->first;
    std::pair<uid_t, Guest> next(line->first, std::move(line->second.front()));
    line->second.pop_front();
    if (line->second.empty()) lines_.erase(line);
    --size_;
    return next;
  }

  std::size_t of(uid_t user) const {
    const auto line = lines_.find(user);
    return line == lines_.end() ? 0 : line->second.size();
  }
  std::size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }

 private:
  std::map<uid_t, std::deque<Guest>> lines_;  // none is empty
  std::optional<uid_t> last_;                 // whose turn it was
  std::size_t size_ = 0;
};

}  // namespace berth::http
