#pragma once

// What `berth top` shows, as lines of text: the layout without the terminal. Pure.

#include <string>
#include <vector>

#include "agent/cli/output.hpp"
#include "agent/cli/top/model.hpp"

namespace berth::cli::top {

struct Line {
  std::string text;  // not wider than the screen
  Style style = Style::plain;
  bool selected = false;  // shown in reverse
};

struct Size {
  std::size_t columns = 80;
  std::size_t rows = 24;
};

// Exactly `size.rows` lines.
std::vector<Line> view_of(const Model& model, Size size);

// "812B", "64M", "1.5G": for a column.
std::string brief_size(ByteSize size);
// "0:05", "12:34", "3:00:01", "2d 04:05".
std::string clock_text(std::chrono::microseconds duration);

}  // namespace berth::cli::top
