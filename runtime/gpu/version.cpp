#include "runtime/gpu/version.hpp"

#include <charconv>

namespace berth::gpu {
namespace {

void append_two_digits(std::string& text, int number) {
  constexpr int kTwoDigits = 10;
  text += number < kTwoDigits ? ".0" : ".";
  text += std::to_string(number);
}

// Takes a number off the text; false when there is none.
bool take_number(std::string_view& text, int& number) {
  constexpr int kMost = 1'000'000;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || number < 0 || number > kMost) return false;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  return true;
}

}  // namespace

std::optional<Version> parse_version(std::string_view text) {
  Version version;
  if (!take_number(text, version.first)) return std::nullopt;
  for (int* part : {&version.second, &version.third}) {
    if (text.size() < 2 || text[0] != '.' || text[1] < '0' || text[1] > '9') break;
    text.remove_prefix(1);
    if (!take_number(text, *part)) return std::nullopt;
  }
  return version;
}

std::string to_text(const Version& version) {
  auto text = std::to_string(version.first);
  text += '.';
  text += std::to_string(version.second);
  return text;
}

std::string driver_text(const Version& version) {
  auto text = std::to_string(version.first);
  if (version.second == 0 && version.third == 0) return text;
  append_two_digits(text, version.second);
  if (version.third != 0) append_two_digits(text, version.third);
  return text;
}

}  // namespace berth::gpu
