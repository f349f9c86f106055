#pragma once

// The last part of a growing log, as lines for a screen. Pure.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "agent/model/log_frame.hpp"

namespace berth::cli::top {

// One line of a log as a terminal would leave it: progress bars (carriage returns) show their last state,
// tabs are blanks, escape sequences are left out and other control characters are told as \xNN.
std::string screen_line(std::string_view raw);
// Cut into pieces of at most `width` columns; one empty piece for an empty line.
std::vector<std::string> wrapped(const std::string& line, std::size_t width);

class LogTail {
 public:
  // Where the next byte to fetch is, when the log is `log_bytes` long by now: far behind, what lies between
  // is skipped.
  std::uint64_t next(std::uint64_t log_bytes);
  void take(const model::LogFrame& frame);
  // The last `most` lines.
  std::vector<std::string> lines(std::size_t most) const;

 private:
  std::uint64_t offset_ = 0;
  bool begun_ = false;
  std::string text_;  // at most some hundred KiB
};

}  // namespace berth::cli::top
