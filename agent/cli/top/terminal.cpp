#include "agent/cli/top/terminal.hpp"

#define NCURSES_NOMACROS 1
#include <langinfo.h>
#include <ncurses.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <clocale>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>

#include "runtime/base/error.hpp"
#include "runtime/base/text.hpp"

namespace berth::cli::top {
namespace {

constexpr int kEscapeDelay = 25;  // milliseconds until ESC alone is taken for the key, not a sequence's beginning

short pair_of(Style style) {
  switch (style) {
    case Style::red:
      return 1;
    case Style::green:
      return 2;
    case Style::yellow:
      return 3;
    case Style::blue:
      return 4;
    case Style::plain:
    case Style::bold:
    case Style::dim:
      break;
  }
  return 0;
}

bool wants_colour() {
  const char* no_color = std::getenv("NO_COLOR");
  return no_color == nullptr || *no_color == '\0';
}

void define_colours() {
  ::start_color();
  ::use_default_colors();
  ::init_pair(1, COLOR_RED, -1);
  ::init_pair(2, COLOR_GREEN, -1);
  ::init_pair(3, COLOR_YELLOW, -1);
  ::init_pair(4, COLOR_BLUE, -1);
}

// What a locale without UTF-8 can show of a character.
std::string_view plain_form(std::string_view character) {
  if (character == "─") return "-";
  if (character == "…") return "~";
  if (character == "↑") return "^";
  if (character == "↓") return "v";
  return "?";
}

std::string in_ascii(std::string_view text) {
  std::string plain;
  for (std::size_t at = 0; at < text.size();) {
    std::size_t end = at + 1;
    while (end < text.size() && (static_cast<unsigned char>(text[end]) & 0xC0U) == 0x80) ++end;
    const auto character = text.substr(at, end - at);
    if (static_cast<unsigned char>(character.front()) < 0x80) {
      plain += character;
    } else {
      plain += plain_form(character);
      plain.resize(plain.size() + text_width(character) - 1, '?');
    }
    at = end;
  }
  return plain;
}

std::optional<Key> key_of(int code) {
  using Kind = Key::Kind;
  switch (code) {
    case KEY_UP:
      return Key{Kind::up};
    case KEY_DOWN:
      return Key{Kind::down};
    case KEY_PPAGE:
      return Key{Kind::page_up};
    case KEY_NPAGE:
      return Key{Kind::page_down};
    case KEY_HOME:
      return Key{Kind::home};
    case KEY_END:
      return Key{Kind::end};
    case KEY_ENTER:
    case '\r':
    case '\n':
      return Key{Kind::enter};
    case 0x1B:
      return Key{Kind::escape};
    default:
      break;
  }
  if (code >= 0x20 && code < 0x7F) return Key{Kind::character, static_cast<char>(code)};
  return std::nullopt;
}

}  // namespace

struct Terminal::Library {
  SCREEN* screen = nullptr;
  bool colour = false;
  bool utf8 = false;
};

void require_terminal() {
  if (::isatty(STDIN_FILENO) == 0 || ::isatty(STDOUT_FILENO) == 0)
    throw Error(Code::unsupported, "`berth top` needs a terminal", "`berth ps` lists the jobs anywhere");
}

Terminal::Terminal() : library_(std::make_unique<Library>()) {
  std::setlocale(LC_CTYPE, "");
  library_->utf8 = std::string_view(::nl_langinfo(CODESET)) == "UTF-8";
  library_->screen = ::newterm(nullptr, stdout, stdin);
  if (library_->screen == nullptr) {
    const char* type = std::getenv("TERM");
    throw Error(Code::unsupported,
                "the terminal type '" + printable(type == nullptr ? "" : type) + "' (TERM) is not known here",
                "try TERM=xterm-256color berth top; `berth ps` lists the jobs anywhere");
  }
  ::cbreak();
  ::noecho();
  ::nonl();
  ::keypad(stdscr, TRUE);
  ::nodelay(stdscr, TRUE);
  ::set_escdelay(kEscapeDelay);
  ::curs_set(0);
  library_->colour = wants_colour() && ::has_colors();
  if (library_->colour) define_colours();
}

Terminal::~Terminal() {
  ::endwin();
  ::delscreen(library_->screen);
}

Size Terminal::measure() {
  winsize window{};
  if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &window) == 0 && window.ws_col > 0 && window.ws_row > 0)
    ::resizeterm(window.ws_row, window.ws_col);
  return {static_cast<std::size_t>(std::max(::getmaxx(stdscr), 1)),
          static_cast<std::size_t>(std::max(::getmaxy(stdscr), 1))};
}

void Terminal::show(const std::vector<Line>& lines) {
  ::werase(stdscr);
  const auto width = static_cast<std::size_t>(::getmaxx(stdscr));
  int row = 0;
  for (const auto& line : lines) {
    auto text = library_->utf8 ? line.text : in_ascii(line.text);
    if (line.selected) text += std::string(width - std::min(width, text_width(line.text)), ' ');
    int attributes = line.selected ? A_REVERSE : A_NORMAL;
    if (line.style == Style::bold) attributes |= static_cast<int>(A_BOLD);
    if (line.style == Style::dim) attributes |= static_cast<int>(A_DIM);
    ::wattrset(stdscr, attributes);
    if (library_->colour && pair_of(line.style) != 0) ::wcolor_set(stdscr, pair_of(line.style), nullptr);
    ::wmove(stdscr, row++, 0);
    ::waddnstr(stdscr, text.data(), static_cast<int>(text.size()));
  }
  ::wattrset(stdscr, A_NORMAL);
  ::wrefresh(stdscr);
}

std::vector<Key> Terminal::keys() {
  std::vector<Key> keys;
  for (int code = ::wgetch(stdscr); code != ERR; code = ::wgetch(stdscr))
    if (const auto key = key_of(code)) keys.push_back(*key);
  return keys;
}

int Terminal::input() const { return STDIN_FILENO; }

}  // namespace berth::cli::top
