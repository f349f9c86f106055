#include "agent/cli/top/log_tail.hpp"

#include <algorithm>

#include "agent/cli/output.hpp"
#include "runtime/base/text.hpp"

namespace berth::cli::top {
namespace {

constexpr std::uint64_t kFirst = 64U << 10;  // of a log seen for the first time
constexpr std::uint64_t kMostBehind = 1U << 20;
constexpr std::size_t kKept = 512U << 10;
constexpr std::size_t kTab = 8;

// Takes an escape sequence (ECMA-48: CSI, OSC and two-character ones) off the front of what follows ESC.
void skip_escape(std::string_view& rest) {
  if (rest.empty()) return;
  const char kind = rest.front();
  rest.remove_prefix(1);
  if (kind == ']') {  // a string, up to BEL or ESC backslash
    const auto end = rest.find_first_of("\a\x1b");
    rest.remove_prefix(std::min(end == std::string_view::npos ? rest.size() : end + 1, rest.size()));
    if (rest.starts_with('\\')) rest.remove_prefix(1);
  } else if (kind == '[') {
    const auto end = std::find_if(rest.begin(), rest.end(), [](char c) { return c >= '@' && c <= '~'; });
    rest.remove_prefix(std::min(static_cast<std::size_t>(end - rest.begin()) + 1, rest.size()));
  }
}

// What stands after the last carriage return that something follows.
std::string_view last_state(std::string_view raw) {
  while (raw.ends_with('\r')) raw.remove_suffix(1);
  const auto at = raw.rfind('\r');
  return at == std::string_view::npos ? raw : raw.substr(at + 1);
}

}  // namespace

std::string screen_line(std::string_view raw) {
  auto rest = last_state(raw);
  std::string plain;
  while (!rest.empty()) {
    const char c = rest.front();
    rest.remove_prefix(1);
    if (c == '\x1b')
      skip_escape(rest);
    else if (c == '\t')
      plain += std::string(kTab - text_width(plain) % kTab, ' ');
    else if (c == '\b')
      plain.resize(plain.empty() ? 0 : plain.size() - 1);
    else
      plain += c;
  }
  return printable(plain);
}

std::vector<std::string> wrapped(const std::string& line, std::size_t width) {
  std::vector<std::string> pieces(1);
  std::size_t used = 0;
  for (std::size_t at = 0; at < line.size();) {
    std::size_t end = at + 1;
    while (end < line.size() && (static_cast<unsigned char>(line[end]) & 0xC0U) == 0x80) ++end;
    const auto character = std::string_view(line).substr(at, end - at);
    const auto columns = text_width(character);
    if (used + columns > width && used > 0) {
      pieces.emplace_back();
      used = 0;
    }
    pieces.back() += character;
    used += columns;
    at = end;
  }
  return pieces;
}

std::uint64_t LogTail::next(std::uint64_t log_bytes) {
  const bool behind = log_bytes > offset_ + (begun_ ? kMostBehind : kFirst);
  if (behind) {
    offset_ = log_bytes - kFirst;
    text_.clear();
  }
  begun_ = true;
  return offset_;
}

void LogTail::take(const model::LogFrame& frame) {
  offset_ = frame.end;
  text_ += frame.text;
  if (text_.size() > kKept) text_.erase(0, text_.size() - kKept / 2);
}

std::vector<std::string> LogTail::lines(std::size_t most) const {
  std::vector<std::string> lines;
  std::string_view rest = text_;
  if (rest.ends_with('\n')) rest.remove_suffix(1);
  while (lines.size() < most && !text_.empty()) {
    const auto at = rest.rfind('\n');
    const auto begin = at == std::string_view::npos ? 0 : at + 1;
    lines.push_back(screen_line(rest.substr(begin)));
    if (begin == 0) break;
    rest = rest.substr(0, at);
  }
  std::reverse(lines.begin(), lines.end());
  return lines;
}

}  // namespace berth::cli::top
