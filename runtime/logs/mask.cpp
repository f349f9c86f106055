#include "runtime/logs/mask.hpp"

#include <algorithm>
#include <numeric>
#include <set>
#include <tuple>

#include "runtime/base/error.hpp"

namespace berth::logs {
namespace {

constexpr char kStar = '*';

class Lines {
 public:
  void add(std::string_view line) {
    while (line.ends_with('\r')) line.remove_suffix(1);
    for (; line.size() > Mask::kLongest; line.remove_prefix(std::min(Mask::kLongest, line.size() - Mask::kLeast)))
      take(line.substr(0, Mask::kLongest));
    if (line.size() >= Mask::kLeast) take(line);
  }
  std::vector<std::string> sorted() const { return {texts_.begin(), texts_.end()}; }

 private:
  void take(std::string_view text) {
    if (!texts_.emplace(text).second) return;
    bytes_ += text.size();
    if (bytes_ > Mask::kMostBytes) throw Error(Code::too_large, "there are more secrets than can be masked in a log");
  }

  std::set<std::string> texts_;
  std::size_t bytes_ = 0;
};

std::vector<std::string> lines_of(const std::vector<std::string>& texts) {
  Lines lines;
  for (std::string_view text : texts) {
    for (std::size_t at = 0; at < text.size();) {
      const auto end = std::min(text.find('\n', at), text.size());
      lines.add(text.substr(at, end - at));
      at = end + 1;
    }
  }
  return lines.sorted();
}

std::size_t common_prefix(std::string_view a, std::string_view b) {
  const auto shorter = std::min(a.size(), b.size());
  return static_cast<std::size_t>(
      std::mismatch(a.begin(), a.begin() + static_cast<std::ptrdiff_t>(shorter), b.begin()).first - a.begin());
}

}  // namespace

Mask::Mask(const std::vector<std::string>& hidden) {
  const auto texts = lines_of(hidden);
  for (const auto& text : texts) longest_ = std::max(longest_, text.size());
  std::vector<std::uint32_t> parents;
  add_all(texts, parents);
  link(parents);
  states_.shrink_to_fit();
}

// Of sorted texts each begins as the one before it does, and then goes its own way.
void Mask::add_all(const std::vector<std::string>& sorted, std::vector<std::uint32_t>& parents) {
  states_.push_back(State{});
  parents.push_back(0);
  std::vector<std::uint32_t> path{0};  // of the text before
  std::string_view before;
  for (const std::string_view text : sorted) {
    path.resize(common_prefix(before, text) + 1);
    while (path.size() <= text.size()) {
      const auto parent = path.back();
      const auto id = static_cast<std::uint32_t>(states_.size());
      const auto byte = static_cast<unsigned char>(text[path.size() - 1]);
      State state{};
      state.byte = byte;
      state.depth = static_cast<std::uint32_t>(path.size()) & 0x1fff;
      if (parent == 0) {
        first_[byte] = id;
      } else if (parent + 1 == id) {
        states_[parent].grows = 1;
      } else {
        states_[parent].branches = 1;
        branches_.push_back({parent, id, byte});
      }
      states_.push_back(state);
      parents.push_back(parent);
      path.push_back(id);
    }
    states_[path.back()].hidden = static_cast<std::uint32_t>(text.size()) & 0x1fff;
    before = text;
  }
  const auto order = [](const Branch& branch) { return std::tuple(branch.from, branch.byte); };
  std::ranges::sort(branches_, {}, order);
}

// The shorter states first: they are what the longer ones fall back to.
void Mask::link(const std::vector<std::uint32_t>& parents) {
  std::vector<std::uint32_t> begins(longest_ + 2);
  for (const auto& state : states_) ++begins[state.depth + 1];
  std::partial_sum(begins.begin(), begins.end(), begins.begin());
  std::vector<std::uint32_t> by_depth(states_.size());
  for (std::uint32_t id = 0; id < states_.size(); ++id) by_depth[begins[states_[id].depth]++] = id;
  for (const auto id : by_depth) {
    auto& state = states_[id];
    if (state.depth > 1)
      state.fail = next(states_[parents[id]].fail, static_cast<unsigned char>(state.byte)) & 0xffffff;
    if (const auto& shorter = states_[state.fail]; shorter.hidden > state.hidden) state.hidden = shorter.hidden;
  }
}

std::uint32_t Mask::next(std::uint32_t state, unsigned char byte) const {
  for (; state != 0; state = states_[state].fail) {
    if (states_[state].grows && states_[state + 1].byte == byte) return state + 1;
    if (!states_[state].branches) continue;
    const auto order = [](const Branch& branch) { return std::tuple(branch.from, branch.byte); };
    const auto found = std::ranges::lower_bound(branches_, std::tuple(state, byte), {}, order);
    if (found != branches_.end() && found->from == state && found->byte == byte) return found->to;
  }
  return first_[byte];
}

// How many of the bytes read last may be the beginning of something longer.
std::size_t Mask::begun(std::uint32_t state) const {
  while (!states_[state].grows && !states_[state].branches && state != 0) state = states_[state].fail;
  return states_[state].depth;
}

std::size_t Mask::bytes() const {
  return sizeof(*this) + states_.capacity() * sizeof(State) + branches_.capacity() * sizeof(Branch);
}

std::string Mask::apply(std::string_view text) const {
  Masking masking(*this);
  auto shown = masking.feed(text);
  return shown += masking.finish();
}

// The texts run through the automaton of Knuth, Morris and Pratt ("Fast pattern matching in strings", SIAM Journal on
// Computing 6, 1977) for `text`: its state where a text ends is what is asked for. States are in the order in which the
// texts branch, so that the last one of each depth is the one before.
Mask::Ends Mask::ends_in(std::string_view text) const {
  std::vector<std::size_t> fail(text.size() + 1);
  const auto step = [&](std::size_t matched, char byte) {
    while (matched > 0 && (matched == text.size() || text[matched] != byte)) matched = fail[matched];
    return matched < text.size() && text[matched] == byte ? matched + 1 : 0;
  };
  for (std::size_t at = 1; at < text.size(); ++at) fail[at + 1] = step(fail[at], text[at]);
  Ends ends;
  std::vector<std::size_t> matched(longest_ + 1);
  for (const auto& state : states_) {
    if (state.depth == 0) continue;
    auto& here = matched[state.depth];
    here = step(matched[state.depth - 1], static_cast<char>(static_cast<unsigned char>(state.byte)));
    if (here == text.size()) ends.may_grow = true;
    if (state.hidden == state.depth) ends.longest = std::max(ends.longest, here);
  }
  return ends;
}

void Masking::prime(std::string_view before) {
  if (const auto zeros = before.rfind('\0'); zeros != std::string_view::npos) {
    before.remove_prefix(zeros + 1);
    behind_hole();
  }
  const auto shown = feed(before);
  primed_ = before.size() - shown.size();
}

// Nothing hidden has more than one line.
bool Masking::knows_its_end() const {
  return behind_.size() >= mask_.longest() || behind_.find('\n') != std::string::npos;
}

// What a hole has left of something hidden.
void Masking::hide_cut() {
  behind_hole_ = false;
  const auto line = std::string_view(behind_).substr(0, std::min(behind_.find('\n'), mask_.longest()));
  const auto ends = mask_.ends_in(line);
  const bool at_its_end = line.size() == behind_.size() && ends.may_grow;
  const auto cut = at_its_end ? line.size() : ends.longest;
  if (cut >= Mask::kLeast) hidden_.push_back({read_, read_ + cut});
  const auto text = std::exchange(behind_, {});
  look_at(text);
  held_ += text;
}

std::string Masking::feed(std::string_view bytes) {
  if (behind_hole_) {
    behind_ += bytes;
    if (!knows_its_end()) return {};
    hide_cut();
    bytes = {};
  }
  look_at(bytes);
  held_ += bytes;
  return unseen(take(held_.size() - mask_.begun(state_)));
}

// What ends later may begin earlier: it takes in what it reaches.
void Masking::look_at(std::string_view bytes) {
  for (const char c : bytes) {
    state_ = mask_.next(state_, static_cast<unsigned char>(c));
    ++read_;
    const std::uint64_t length = mask_.states_[state_].hidden;
    if (length == 0) continue;
    Range range{read_ - length, read_};
    for (; !hidden_.empty() && hidden_.back().end >= range.begin; hidden_.pop_back())
      range.begin = std::min(range.begin, hidden_.back().begin);
    hidden_.push_back(range);
  }
}

// The first bytes of what is held, as they may be seen.
std::string Masking::take(std::size_t length) {
  const auto begin = read_ - held_.size();
  auto shown = held_.substr(0, length);
  held_.erase(0, length);
  while (!hidden_.empty() && hidden_.front().begin < begin + length) {
    const auto from = std::max(hidden_.front().begin, begin) - begin;
    const auto to = std::min(hidden_.front().end - begin, std::uint64_t{length});
    std::fill(shown.begin() + static_cast<std::ptrdiff_t>(from), shown.begin() + static_cast<std::ptrdiff_t>(to),
              kStar);
    if (hidden_.front().end > begin + length) break;
    hidden_.pop_front();
  }
  return shown;
}

std::string Masking::finish() {
  if (behind_hole_) hide_cut();
  auto shown = take(held_.size() - mask_.begun(state_));
  const bool secret = held_.size() >= Mask::kLeast;
  auto rest = take(held_.size());
  if (secret) std::ranges::fill(rest, kStar);
  state_ = 0;
  return unseen(shown += rest);
}

// Without what only primed it.
std::string Masking::unseen(std::string text) {
  const auto drop = std::min(primed_, text.size());
  primed_ -= drop;
  return text.erase(0, drop);
}

}  // namespace berth::logs
