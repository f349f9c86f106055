#pragma once

// Base64 (RFC 4648).

#include <optional>
#include <string>
#include <string_view>

namespace berth {

enum class Base64 { standard, url };  // url: "-_" for "+/"; both are padded

std::string base64(std::string_view bytes, Base64 alphabet = Base64::standard);
// Either alphabet, with or without padding; nothing for anything else.
std::optional<std::string> from_base64(std::string_view text);

}  // namespace berth
