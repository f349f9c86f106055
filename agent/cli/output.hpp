#pragma once

// Standard output and the terminal. Nothing here buffers: what is printed is there.

#include <cstddef>
#include <string>
#include <string_view>

namespace berth::cli {

// All of it to standard output. When nobody reads it any more the program ends quietly, as SIGPIPE would have
// it.
void print(std::string_view text);
// The same to standard error.
void print_error(std::string_view text);
// One remark for the person at the terminal, on standard error: "berth: …\n".
void remark(std::string_view text);

enum class Style { plain, bold, dim, red, green, yellow, blue };

// What standard output can show.
struct Screen {
  std::size_t width = 0;  // columns; 0: not a terminal, as wide as need be
  bool colour = false;
  // The text as it is where there is no colour.
  std::string styled(Style style, std::string_view text) const;
};
// Asks the terminal; NO_COLOR and TERM=dumb turn colour off.
Screen screen();

// Columns that UTF-8 text takes on a terminal: East Asian wide characters two, combining ones none.
std::size_t text_width(std::string_view text);
// At most `width` columns; a cut text ends in "…".
std::string fitted(std::string_view text, std::size_t width);

}  // namespace berth::cli
