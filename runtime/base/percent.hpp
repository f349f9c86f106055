#pragma once

// The escapes of URLs, %XX.

#include <string>
#include <string_view>

namespace berth {

enum class EscapeDigits { upper, lower };

// For one segment of a path, or a query's value: all but letters, digits and "-._~" is escaped.
std::string percent_encoded(std::string_view text, EscapeDigits digits = EscapeDigits::upper);
// "a%20b" → "a b"; what is no escape stays.
std::string percent_decoded(std::string_view text);
// Whether a '%' stands there that begins no escape.
bool has_broken_escape(std::string_view text);

}  // namespace berth
