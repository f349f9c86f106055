#include "agent/cli/output.hpp"

#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <cstdlib>

#include "runtime/base/error.hpp"

namespace berth::cli {
namespace {

constexpr int kEndedBySigpipe = 141;

void write_to(int fd, std::string_view text) {
  while (!text.empty()) {
    const auto written = ::write(fd, text.data(), text.size());
    if (written >= 0) {
      text.remove_prefix(static_cast<std::size_t>(written));
    } else if (errno == EPIPE) {
      ::_exit(kEndedBySigpipe);
    } else if (errno == EAGAIN) {  // somebody who shares it made it non-blocking
      pollfd room{fd, POLLOUT, 0};
      ::poll(&room, 1, -1);
    } else if (errno != EINTR) {
      throw_errno("write to", fd == STDOUT_FILENO ? "standard output" : "standard error");
    }
  }
}

// The next character's code point; advances `text` past it. Invalid bytes count as themselves.
std::uint32_t take_character(std::string_view& text) {
  const auto first = static_cast<unsigned char>(text.front());
  const std::size_t length = first < 0xC0 ? 1 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
  std::uint32_t value = length == 1 ? first : first & (0x7FU >> length);
  for (std::size_t i = 1; i < length && i < text.size(); ++i)
    value = value << 6 | (static_cast<unsigned char>(text[i]) & 0x3FU);
  text.remove_prefix(std::min(length, text.size()));
  return value;
}

struct Range {
  std::uint32_t first;
  std::uint32_t last;
};
constexpr std::array<Range, 5> kNoWidth{
    {{0x0300, 0x036F}, {0x200B, 0x200F}, {0x20D0, 0x20FF}, {0xFE00, 0xFE0F}, {0xFE20, 0xFE2F}}};
constexpr std::array<Range, 8> kDoubleWidth{{{0x1100, 0x115F},
                                             {0x2E80, 0xA4CF},
                                             {0xAC00, 0xD7A3},
                                             {0xF900, 0xFAFF},
                                             {0xFE30, 0xFE6F},
                                             {0xFF00, 0xFF60},
                                             {0x1F300, 0x1FAFF},
                                             {0x20000, 0x3FFFD}}};

template <std::size_t N>
bool among(std::uint32_t character, const std::array<Range, N>& ranges) {
  for (const auto& range : ranges)
    if (character >= range.first && character <= range.last) return true;
  return false;
}

std::size_t width_of(std::uint32_t character) {
  if (character < 0x300) return 1;
  return among(character, kNoWidth) ? 0 : among(character, kDoubleWidth) ? 2 : 1;
}

const char* escape(Style style) {
  switch (style) {
    case Style::bold:
      return "\x1b[1m";
    case Style::dim:
      return "\x1b[2m";
    case Style::red:
      return "\x1b[31m";
    case Style::green:
      return "\x1b[32m";
    case Style::yellow:
      return "\x1b[33m";
    case Style::blue:
      return "\x1b[34m";
    case Style::plain:
      break;
  }
  return "";
}

bool wants_colour() {
  const char* no_color = std::getenv("NO_COLOR");
  const char* terminal = std::getenv("TERM");
  if (no_color != nullptr && *no_color != '\0') return false;
  return terminal != nullptr && std::string_view(terminal) != "dumb";
}

}  // namespace

void print(std::string_view text) { write_to(STDOUT_FILENO, text); }

void print_error(std::string_view text) { write_to(STDERR_FILENO, text); }

void remark(std::string_view text) { print_error("berth: " + std::string(text) + "\n"); }

std::string Screen::styled(Style style, std::string_view text) const {
  if (!colour || style == Style::plain) return std::string(text);
  return escape(style) + std::string(text) + "\x1b[0m";
}

Screen screen() {
  if (::isatty(STDOUT_FILENO) == 0) return {};
  winsize size{};
  const bool known = ::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
  return {known ? size.ws_col : std::size_t{80}, wants_colour()};
}

std::size_t text_width(std::string_view text) {
  std::size_t width = 0;
  while (!text.empty()) width += width_of(take_character(text));
  return width;
}

std::string fitted(std::string_view text, std::size_t width) {
  if (text_width(text) <= width) return std::string(text);
  if (width == 0) return {};
  std::size_t used = 0;
  std::string_view rest = text;
  while (!rest.empty()) {
    auto next = rest;
    const auto columns = width_of(take_character(next));
    if (used + columns + 1 > width) break;
    used += columns;
    rest = next;
  }
  return std::string(text.substr(0, text.size() - rest.size())) + "…";
}

}  // namespace berth::cli
