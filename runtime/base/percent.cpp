#include "runtime/base/percent.hpp"

#include <charconv>
#include <optional>

namespace berth {
namespace {

bool is_unreserved(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
         c == '_' || c == '~';
}

std::optional<char> escape_at(std::string_view text, std::size_t percent) {
  const auto digits = text.substr(percent + 1, 2);
  unsigned value = 0;
  const auto [end, failure] = std::from_chars(digits.data(), digits.data() + digits.size(), value, 16);
  if (digits.size() != 2 || failure != std::errc() || end != digits.data() + 2) return std::nullopt;
  return static_cast<char>(value);
}

}  // namespace

std::string percent_encoded(std::string_view text, EscapeDigits digits) {
  const std::string_view letters = digits == EscapeDigits::upper ? "0123456789ABCDEF" : "0123456789abcdef";
  std::string coded;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (is_unreserved(c))
      coded += c;
    else
      ((coded += '%') += letters[byte >> 4]) += letters[byte & 15];
  }
  return coded;
}

std::string percent_decoded(std::string_view text) {
  std::string decoded;
  for (std::size_t at = 0; at < text.size(); ++at) {
    const auto byte = text[at] == '%' ? escape_at(text, at) : std::nullopt;
    decoded += byte.value_or(text[at]);
    if (byte) at += 2;
  }
  return decoded;
}

bool has_broken_escape(std::string_view text) {
  for (auto percent = text.find('%'); percent != text.npos; percent = text.find('%', percent + 1))
    if (!escape_at(text, percent)) return true;
  return false;
}

}  // namespace berth
