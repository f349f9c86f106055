#pragma once

// Frames of logs for the tests of what becomes of them.

#include <string_view>

#include "agent/model/log_frame.hpp"

namespace berth::cli {

inline model::LogFrame text_frame(std::string_view text, std::uint64_t begin = 0, int attempt = 1) {
  return {model::LogFrame::Kind::text, attempt, begin, begin + text.size(), text};
}
inline model::LogFrame hole_frame(std::string_view text, std::uint64_t begin, std::uint64_t end, int attempt = 1) {
  return {model::LogFrame::Kind::left_out, attempt, begin, end, text};
}

}  // namespace berth::cli
