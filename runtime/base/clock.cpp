#include "runtime/base/clock.hpp"

#include <array>
#include <cstdio>
#include <ctime>

namespace berth {
namespace {

class SystemClock final : public Clock {
 public:
  Instant now() const override { return std::chrono::time_point_cast<Micros>(std::chrono::system_clock::now()); }
  Steady steady() const override { return std::chrono::steady_clock::now(); }
};

// Reads exactly `count` digits at `position`, advancing it.
std::optional<int> digits(std::string_view text, std::size_t& position, int count) {
  int value = 0;
  for (int i = 0; i < count; ++i, ++position) {
    if (position >= text.size() || text[position] < '0' || text[position] > '9') return std::nullopt;
    value = value * 10 + (text[position] - '0');
  }
  return value;
}

bool skip(std::string_view text, std::size_t& position, std::string_view one_of) {
  if (position >= text.size() || one_of.find(text[position]) == std::string_view::npos) return false;
  ++position;
  return true;
}

std::optional<std::chrono::minutes> parse_offset(std::string_view text, std::size_t& position) {
  if (skip(text, position, "Zz")) return std::chrono::minutes(0);
  const bool negative = position < text.size() && text[position] == '-';
  if (!skip(text, position, "+-")) return std::nullopt;
  const auto hours = digits(text, position, 2);
  if (!hours || !skip(text, position, ":")) return std::nullopt;
  const auto minutes = digits(text, position, 2);
  if (!minutes || *hours > 23 || *minutes > 59) return std::nullopt;
  const std::chrono::minutes offset(*hours * 60 + *minutes);
  return negative ? -offset : offset;
}

}  // namespace

const Clock& system_clock() {
  static const SystemClock clock;
  return clock;
}

std::int64_t to_unix_micros(Instant instant) { return instant.time_since_epoch().count(); }
Instant from_unix_micros(std::int64_t micros) { return Instant(Micros(micros)); }

std::string to_rfc3339(Instant instant) {
  const auto seconds = std::chrono::floor<std::chrono::seconds>(instant);
  const auto time = static_cast<std::time_t>(seconds.time_since_epoch().count());
  std::tm utc{};
  gmtime_r(&time, &utc);
  std::array<char, 64> text{};
  std::snprintf(text.data(), text.size(), "%04d-%02d-%02dT%02d:%02d:%02d.%06dZ", utc.tm_year + 1900, utc.tm_mon + 1,
                utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec, static_cast<int>((instant - seconds).count()));
  return text.data();
}

std::optional<Instant> parse_rfc3339(std::string_view text) {
  std::size_t at = 0;
  const auto year = digits(text, at, 4);
  if (!year || !skip(text, at, "-")) return std::nullopt;
  const auto month = digits(text, at, 2);
  if (!month || !skip(text, at, "-")) return std::nullopt;
  const auto day = digits(text, at, 2);
  if (!day || !skip(text, at, "Tt ")) return std::nullopt;
  const auto hour = digits(text, at, 2);
  if (!hour || !skip(text, at, ":")) return std::nullopt;
  const auto minute = digits(text, at, 2);
  if (!minute || !skip(text, at, ":")) return std::nullopt;
  const auto second = digits(text, at, 2);
  if (!second) return std::nullopt;
  Micros fraction(0);
  if (skip(text, at, ".")) {
    int place = 100'000;
    if (at >= text.size() || text[at] < '0' || text[at] > '9') return std::nullopt;
    for (; at < text.size() && text[at] >= '0' && text[at] <= '9'; ++at, place /= 10)
      fraction += Micros((text[at] - '0') * place);
  }
  const auto offset = parse_offset(text, at);
  if (!offset || at != text.size()) return std::nullopt;
  const std::chrono::year_month_day date{std::chrono::year(*year), std::chrono::month(static_cast<unsigned>(*month)),
                                         std::chrono::day(static_cast<unsigned>(*day))};
  if (!date.ok() || *hour > 23 || *minute > 59 || *second > 60) return std::nullopt;
  return Instant(std::chrono::sys_days(date).time_since_epoch() + std::chrono::hours(*hour) +
                 std::chrono::minutes(*minute) + std::chrono::seconds(*second) + fraction - *offset);
}

std::string to_local_text(Instant instant) {
  const auto seconds = std::chrono::floor<std::chrono::seconds>(instant);
  const auto time = static_cast<std::time_t>(seconds.time_since_epoch().count());
  std::tm local{};
  localtime_r(&time, &local);
  std::array<char, 64> text{};
  std::strftime(text.data(), text.size(), "%Y-%m-%d %H:%M:%S", &local);
  return text.data();
}

}  // namespace berth
