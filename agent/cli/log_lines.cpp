#include "agent/cli/log_lines.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <nlohmann/json.hpp>

namespace berth::cli {
namespace {

constexpr std::size_t kLongestLine = 64U << 10;

// Of a byte of the frame's text that so many bytes come before.
std::uint64_t offset_in(const model::LogFrame& frame, std::size_t before) {
  return frame.begin + (frame.kind == model::LogFrame::Kind::text ? before : 0);
}

}  // namespace

// An entry tells how long the log was at a time, so the first one beyond the byte is the nearest to its
// writing.
Instant LogTimes::at(std::uint64_t offset) const {
  const auto found = std::upper_bound(index_.begin(), index_.end(), offset,
                                      [](std::uint64_t value, const auto& entry) { return value < entry.first; });
  return found == index_.end() ? later_() : found->second;
}

TimedLines::TimedLines(LogTimes times, OnLine on_line) : times_(std::move(times)), on_line_(std::move(on_line)) {}

void TimedLines::take(const model::LogFrame& frame) {
  if (attempt_ && *attempt_ != frame.attempt) {
    finish();
    times_.leave_index();
  }
  attempt_ = frame.attempt;
  auto bytes = frame.text;
  while (!bytes.empty()) {
    if (line_.empty()) {
      line_offset_ = offset_in(frame, frame.text.size() - bytes.size());
      line_time_ = times_.at(line_offset_);
    }
    const auto end = bytes.find('\n');
    const auto part = bytes.substr(0, std::min(end, kLongestLine - line_.size()));
    const bool ends = end == part.size();
    line_ += part;
    bytes.remove_prefix(part.size() + (ends ? 1 : 0));
    if (ends || line_.size() == kLongestLine) hand_on(ends);
  }
}

void TimedLines::finish() {
  if (!line_.empty()) hand_on(true);
}

void TimedLines::hand_on(bool complete) {
  on_line_(line_offset_, line_time_, line_, complete);
  line_.clear();
}

std::string time_prefix(Instant time) {
  const auto micros = to_unix_micros(time) % 1'000'000;
  std::array<char, 8> fraction{};
  std::snprintf(fraction.data(), fraction.size(), ".%03d",
                static_cast<int>((micros < 0 ? micros + 1'000'000 : micros) / 1000));
  return to_local_text(time) + fraction.data() + "  ";
}

std::string json_line(std::uint64_t offset, Instant time, std::string_view text) {
  const nlohmann::ordered_json line{{"offset", offset}, {"time", to_rfc3339(time)}, {"text", text}};
  return line.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

}  // namespace berth::cli
