#include "agent/cli/log_lines.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdio>
#include <nlohmann/json.hpp>

namespace berth::cli {
namespace {

constexpr std::string_view kHoleBegins = "[… ";
constexpr std::string_view kHoleBytes = " left out (bytes ";
constexpr std::string_view kHoleDash = "–";
constexpr std::string_view kHoleEnds = ") …]";
constexpr std::size_t kLongestHole = 128;
constexpr std::size_t kLongestLine = 64U << 10;

std::optional<std::uint64_t> take_number(std::string_view& text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc()) return std::nullopt;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  return value;
}

bool take_literal(std::string_view& text, std::string_view literal) {
  if (!text.starts_with(literal)) return false;
  text.remove_prefix(literal.size());
  return true;
}

// The end of the hole that this line stands for. The line of a hole in the middle of a line comes one byte
// late, after a line end of its own. A job can print such a line too: then only the offsets it would be
// caught at match.
std::optional<std::uint64_t> hole_end(std::string_view line, std::uint64_t line_start) {
  if (!line.starts_with(kHoleBegins)) return std::nullopt;
  const auto bytes = line.find(kHoleBytes);
  if (bytes == std::string_view::npos) return std::nullopt;
  line.remove_prefix(bytes + kHoleBytes.size());
  const auto begin = take_number(line);
  if (!begin || !take_literal(line, kHoleDash)) return std::nullopt;
  const auto end = take_number(line);
  if (!end || line != kHoleEnds || *end < *begin) return std::nullopt;
  if (*begin != line_start && *begin + 1 != line_start) return std::nullopt;
  return end;
}

}  // namespace

void LogPosition::take(std::string_view bytes) {
  while (!bytes.empty()) {
    const auto end = bytes.find('\n');
    const auto part = bytes.substr(0, end);
    if (line_.size() <= kLongestHole) line_ += part.substr(0, kLongestHole + 1);
    offset_ += part.size();
    if (end == std::string_view::npos) return;
    ++offset_;
    end_line();
    bytes.remove_prefix(end + 1);
  }
}

void LogPosition::end_line() {
  if (const auto end = hole_end(line_, line_start_)) offset_ = *end;
  line_.clear();
  line_start_ = offset_;
}

// An entry tells how long the log was at a time, so the first one beyond the byte is the nearest to its
// writing.
Instant LogTimes::at(std::uint64_t offset) const {
  const auto found =
      std::upper_bound(index_.begin(), index_.end(), offset,
                       [](std::uint64_t value, const auto& entry) { return value < entry.first; });
  return found == index_.end() ? later_() : found->second;
}

TimedLines::TimedLines(LogTimes times, std::uint64_t offset, OnLine on_line)
    : times_(std::move(times)), position_(offset), on_line_(std::move(on_line)) {}

void TimedLines::take(std::string_view bytes) {
  while (!bytes.empty()) {
    if (line_.empty()) {
      line_offset_ = position_.offset();
      line_time_ = times_.at(line_offset_);
    }
    const auto end = bytes.find('\n');
    const auto part = bytes.substr(0, std::min(end, kLongestLine - line_.size()));
    const bool ends = end == part.size();
    line_ += part;
    bytes.remove_prefix(part.size() + (ends ? 1 : 0));
    position_.take(part);
    if (ends) position_.take("\n");
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
