#pragma once

// Bytes in hexadecimal digits, two of each.

#include <optional>
#include <string>
#include <string_view>

namespace berth {

std::string to_hex(std::string_view bytes);
// Nothing for anything but pairs of lower-case digits: the same bytes are spelled one way.
std::optional<std::string> from_hex(std::string_view hex);

}  // namespace berth
