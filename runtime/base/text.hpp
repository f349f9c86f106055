#pragma once

// Questions about text that several modules ask the same way.

#include <cstddef>
#include <string>
#include <string_view>

namespace berth {

// Well-formed UTF-8: no overlong forms, no surrogates, nothing above U+10FFFF.
bool is_utf8(std::string_view text);

// The text as one printable line: control characters and invalid UTF-8 become \xNN, so that a hostile name cannot
// forge log lines or terminal escapes.
std::string printable(std::string_view text);

// Text of more bytes than `most` without what is over, and with "…" for it; whole characters of UTF-8 stay whole.
std::string shortened(std::string text, std::size_t most);

}  // namespace berth
