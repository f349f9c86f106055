#include "agent/cli/table.hpp"

#include <algorithm>
#include <numeric>

namespace berth::cli {
namespace {

constexpr std::size_t kGap = 2;

}  // namespace

// Natural widths first; then the widest column that may shrink gives way, one column of the screen at a time.
std::vector<std::size_t> Table::widths(const Screen& screen) const {
  std::vector<std::size_t> widths(columns_.size(), 0);
  for (const auto& row : rows_)
    for (std::size_t i = 0; i < widths.size(); ++i) widths[i] = std::max(widths[i], text_width(row[i].text));
  for (std::size_t i = 0; i < widths.size(); ++i)
    if (widths[i] > 0 || rows_.empty()) widths[i] = std::max(widths[i], text_width(columns_[i].heading));
  const auto total = [&] {
    return std::accumulate(widths.begin(), widths.end(), std::size_t{0},
                           [](std::size_t sum, std::size_t width) { return sum + (width > 0 ? width + kGap : 0); });
  };
  while (screen.width > 0 && total() > screen.width + kGap) {
    std::size_t widest = widths.size();
    for (std::size_t i = 0; i < widths.size(); ++i) {
      const bool shrinks = columns_[i].least > 0 && widths[i] > columns_[i].least;
      if (shrinks && (widest == widths.size() || widths[i] > widths[widest])) widest = i;
    }
    if (widest == widths.size()) break;
    --widths[widest];
  }
  return widths;
}

std::string Table::text(const Screen& screen) const {
  const auto columns = widths(screen);
  std::string text;
  const auto line = [&](const auto& cell_of) {
    std::string pending;  // spaces, kept back until something follows them
    for (std::size_t i = 0; i < columns.size(); ++i) {
      if (columns[i] == 0) continue;
      const Cell cell = cell_of(i);
      const auto shown = fitted(cell.text, columns[i]);
      if (!shown.empty()) {
        text += pending + screen.styled(cell.style, shown);
        pending.clear();
      }
      pending += std::string(columns[i] - text_width(shown) + kGap, ' ');
    }
    text += '\n';
  };
  line([&](std::size_t i) { return Cell{columns_[i].heading, Style::bold}; });
  for (const auto& row : rows_) line([&](std::size_t i) { return row[i]; });
  return text;
}

}  // namespace berth::cli
