#pragma once

// Rows of text in columns, fitted to the width of the screen. A column that is empty in every row is left
// out.

#include <string>
#include <vector>

#include "agent/cli/output.hpp"

namespace berth::cli {

struct Column {
  std::string heading;
  std::size_t least = 0;  // narrowest it may become when the screen is; 0: never narrower than its content
};

struct Cell {
  std::string text;
  Style style = Style::plain;
};

class Table {
 public:
  explicit Table(std::vector<Column> columns) : columns_(std::move(columns)) {}
  void add(std::vector<Cell> row) { rows_.push_back(std::move(row)); }
  // The heading and the rows, no spaces at line ends.
  std::string text(const Screen& screen) const;

 private:
  std::vector<std::size_t> widths(const Screen& screen) const;
  std::vector<Column> columns_;
  std::vector<std::vector<Cell>> rows_;
};

}  // namespace berth::cli
