#pragma once

// Labels and values for people, aligned, under headings.

#include <string>

#include "agent/cli/output.hpp"

namespace berth::cli {

class Page {
 public:
  explicit Page(const Screen& screen) : screen_(screen) {}

  // A heading after the first stands apart.
  void heading(const std::string& text) {
    if (!text_.empty()) text_ += '\n';
    (text_ += screen_.styled(Style::bold, text)) += '\n';
  }
  // Nothing for an empty value.
  void line(const std::string& label, const std::string& value, Style style = Style::plain) {
    if (value.empty()) return;
    const auto padding = label.size() < kLabelWidth ? kLabelWidth - label.size() : 1;
    text_ += "  " + screen_.styled(Style::dim, label) + std::string(padding, ' ');
    (text_ += screen_.styled(style, value)) += '\n';
  }
  std::string take() { return std::move(text_); }

 private:
  static constexpr std::size_t kLabelWidth = 13;
  const Screen& screen_;
  std::string text_;
};

}  // namespace berth::cli
