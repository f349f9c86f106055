#pragma once

// Base64 (RFC 4648), as registries and the engine want credentials written.

#include <optional>
#include <string>
#include <string_view>

namespace berth::docker {

enum class Alphabet { standard, url };  // url: "-_" for "+/"; both are padded

std::string base64(std::string_view bytes, Alphabet alphabet = Alphabet::standard);
// Either alphabet, with or without padding; nothing for anything else.
std::optional<std::string> from_base64(std::string_view text);

}  // namespace berth::docker
