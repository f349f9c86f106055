#include "agent/cli/nearest.hpp"

#include <algorithm>
#include <numeric>
#include <utility>

namespace berth::cli {
namespace {

// Insertions, deletions, changes and swaps of neighbours.
std::size_t distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> before(b.size() + 1);
  std::vector<std::size_t> last(b.size() + 1);
  std::iota(last.begin(), last.end(), 0);
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::vector<std::size_t> row(b.size() + 1, i);
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t change = a[i - 1] == b[j - 1] ? 0 : 1;
      row[j] = std::min({last[j] + 1, row[j - 1] + 1, last[j - 1] + change});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) row[j] = std::min(row[j], before[j - 2] + 1);
    }
    before = std::exchange(last, std::move(row));
  }
  return last[b.size()];
}

}  // namespace

std::optional<std::string> nearest(std::string_view word, const std::vector<std::string>& known) {
  std::optional<std::string> best;
  std::size_t least = 0;
  if (word.size() > 64) return best;
  for (const auto& candidate : known) {
    const auto changes = distance(word, candidate);
    if (changes * 3 > std::max(candidate.size(), std::size_t{3})) continue;
    if (best && changes >= least) continue;
    best = candidate;
    least = changes;
  }
  return best;
}

}  // namespace berth::cli
