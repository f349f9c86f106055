#include "runtime/base/units.hpp"

#include <array>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <limits>

namespace berth {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;

// A leading decimal number such as "1.5"; advances `text` past it.
std::optional<double> take_number(std::string_view& text) {
  std::size_t length = 0;
  while (length < text.size() && ((text[length] >= '0' && text[length] <= '9') || text[length] == '.')) ++length;
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + length, value);
  if (length == 0 || error != std::errc() || end != text.data() + length) return std::nullopt;
  text.remove_prefix(length);
  return value;
}

std::string_view take_letters(std::string_view& text) {
  std::size_t length = 0;
  while (length < text.size() && ((text[length] | 0x20) >= 'a' && (text[length] | 0x20) <= 'z')) ++length;
  const auto letters = text.substr(0, length);
  text.remove_prefix(length);
  return letters;
}

void skip_spaces(std::string_view& text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
}

std::optional<int> size_shift(std::string_view suffix) {
  if (suffix.empty() || suffix == "b" || suffix == "B") return 0;
  const char unit = static_cast<char>(suffix.front() | 0x20);
  suffix.remove_prefix(1);
  if (!suffix.empty() && suffix != "b" && suffix != "B" && suffix != "i" && suffix != "iB" && suffix != "ib")
    return std::nullopt;
  switch (unit) {
    case 'k':
      return 10;
    case 'm':
      return 20;
    case 'g':
      return 30;
    case 't':
      return 40;
    default:
      return std::nullopt;
  }
}

std::optional<double> unit_millis(std::string_view unit) {
  if (unit == "ms") return 1;
  if (unit.empty() || unit == "s" || unit == "sec" || unit == "second" || unit == "seconds") return 1000;
  if (unit == "m" || unit == "min" || unit == "minute" || unit == "minutes") return 60'000;
  if (unit == "h" || unit == "hour" || unit == "hours") return 3'600'000;
  if (unit == "d" || unit == "day" || unit == "days") return 86'400'000;
  if (unit == "w" || unit == "week" || unit == "weeks") return 604'800'000;
  return std::nullopt;
}

std::string count(std::int64_t number, const char* unit) {
  return std::to_string(number) + " " + unit + (number == 1 ? "" : "s");
}

}  // namespace

std::optional<ByteSize> parse_byte_size(std::string_view text) {
  const auto number = take_number(text);
  if (!number) return std::nullopt;
  skip_spaces(text);
  const auto shift = size_shift(take_letters(text));
  if (!shift || !text.empty()) return std::nullopt;
  const double bytes = std::ldexp(*number, *shift);
  if (!(bytes < 9.2e18)) return std::nullopt;
  return ByteSize(static_cast<std::uint64_t>(bytes));
}

std::string to_text(ByteSize size) {
  static constexpr std::array<const char*, 5> kUnits{"KiB", "MiB", "GiB", "TiB", "PiB"};
  if (size.bytes() < 1024) return std::to_string(size.bytes()) + " B";
  double value = static_cast<double>(size.bytes()) / 1024;
  std::size_t unit = 0;
  while (value >= 1023.95 && unit + 1 < kUnits.size()) {
    value /= 1024;
    ++unit;
  }
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), value < 9.95 ? "%.1f %s" : "%.0f %s", value, kUnits[unit]);
  return text.data();
}

std::optional<milliseconds> parse_duration(std::string_view text) {
  if (text.empty()) return std::nullopt;
  double total = 0;
  while (!text.empty()) {
    const auto number = take_number(text);
    if (!number) return std::nullopt;
    skip_spaces(text);
    const auto factor = unit_millis(take_letters(text));
    if (!factor) return std::nullopt;
    total += *number * *factor;
    skip_spaces(text);
  }
  if (!(total < 9e15)) return std::nullopt;
  return milliseconds(static_cast<std::int64_t>(total));
}

std::string to_words(microseconds duration) {
  const auto micros = duration.count();
  if (micros < 0) return "-" + to_words(-duration);
  if (micros < 1000) return std::to_string(micros) + " us";
  if (micros < 1'000'000) return std::to_string(micros / 1000) + " ms";
  if (micros < 60'000'000) {
    std::array<char, 32> text{};
    const auto tenths = micros / 100'000;
    std::snprintf(text.data(), text.size(), "%.1f seconds", static_cast<double>(tenths) / 10);
    return text.data();
  }
  const auto seconds = micros / 1'000'000;
  struct Unit {
    std::int64_t seconds;
    const char* name;
  };
  static constexpr std::array<Unit, 4> kUnits{{{86'400, "day"}, {3600, "hour"}, {60, "minute"}, {1, "second"}}};
  for (std::size_t i = 0; i + 1 < kUnits.size(); ++i) {
    if (seconds < kUnits[i].seconds) continue;
    auto text = count(seconds / kUnits[i].seconds, kUnits[i].name);
    const auto rest = seconds % kUnits[i].seconds / kUnits[i + 1].seconds;
    if (rest > 0) text += " " + count(rest, kUnits[i + 1].name);
    return text;
  }
  return count(seconds, "second");
}

}  // namespace berth
