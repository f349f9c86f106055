#pragma once

// Who has come and is not let in yet. Sources take turns, so that nobody stands behind the hundreds that another sent
// at once. Pure.

#include <cstddef>
#include <deque>
#include <map>
#include <optional>
#include <utility>

#include "runtime/http/peer.hpp"

namespace berth::http {

template <class Guest>
class Arrivals {
 public:
  void add(Source source, Guest guest) {
    lines_[source].push_back(std::move(guest));
    ++size_;
  }

  // The one of the next source's that has waited longest; nothing where nobody waits.
  std::optional<std::pair<Source, Guest>> next() {
    if (lines_.empty()) return std::nullopt;
    auto line = last_ ? lines_.upper_bound(*last_) : lines_.begin();
    if (line == lines_.end()) line = lines_.begin();
    last_ = line->first;
    std::pair<Source, Guest> next(line->first, std::move(line->second.front()));
    line->second.pop_front();
    if (line->second.empty()) lines_.erase(line);
    --size_;
    return next;
  }

  std::size_t of(Source source) const {
    const auto line = lines_.find(source);
    return line == lines_.end() ? 0 : line->second.size();
  }
  std::size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }

 private:
  std::map<Source, std::deque<Guest>> lines_;  // none is empty
  std::optional<Source> last_;  // whose turn it was
  std::size_t size_ = 0;
};

}  // namespace berth::http
