#include "agent/jobfile/parse.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <string_view>

#include "agent/model/ending.hpp"
#include "runtime/base/error.hpp"
#include "runtime/base/text.hpp"
#include "runtime/os/process.hpp"

namespace berth::jobfile {
namespace {

constexpr int kMostRetries = 100;

[[noreturn]] void refuse(const std::string& flag, const std::string& text, const std::string& reason,
                         const std::string& remedy) {
  throw Error(Code::invalid, flag + ": '" + printable(text) + "' " + reason, remedy);
}

}  // namespace

std::int64_t whole_number(const std::string& flag, const std::string& text, std::int64_t least, std::int64_t most) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  const auto range = std::to_string(least) + " to " + std::to_string(most);
  if (text.empty() || end != text.data() + text.size())
    refuse(flag, text, "is not a whole number", "give one from " + range);
  if (error != std::errc() || value < least || value > most)
    refuse(flag, text, "is out of range", "give a number from " + range);
  return value;
}

std::uint32_t cpus(const std::string& flag, const std::string& text) {
  std::string_view number = text;
  const bool thousandths = number.ends_with('m');
  if (thousandths) number.remove_suffix(1);
  double value = -1;
  const auto [end, error] =
      std::from_chars(number.data(), number.data() + number.size(), value, std::chars_format::fixed);
  const double milli = thousandths ? value : value * 1000;
  if (error != std::errc() || end != number.data() + number.size() || !(milli >= 0 && milli <= 1e9))
    refuse(flag, text, "is not a number of CPUs", "write for example 2, 0.5 or 250m");
  return static_cast<std::uint32_t>(std::lround(milli));
}

ByteSize size(const std::string& flag, const std::string& text) {
  const auto parsed = parse_byte_size(text);
  if (!parsed) refuse(flag, text, "is not a size", "write for example 512M, 4G or 1.5GiB");
  return *parsed;
}

std::chrono::milliseconds duration(const std::string& flag, const std::string& text) {
  const auto parsed = parse_duration(text);
  if (!parsed) refuse(flag, text, "is not a duration", "write for example 90s, 15m, 2h30m or 1d");
  return *parsed;
}

int signal_number(const std::string& flag, const std::string& text) {
  const auto parsed = os::parse_signal(text);
  if (!parsed) refuse(flag, text, "is not a signal", "write for example TERM, SIGINT or USR1");
  return *parsed;
}

std::pair<std::string, std::string> pair(const std::string& flag, const std::string& text) {
  const auto equals = text.find('=');
  if (equals == std::string::npos || equals == 0)
    refuse(flag, text, "is not of the form NAME=VALUE", "write for example " + flag + " colour=blue");
  return {text.substr(0, equals), text.substr(equals + 1)};
}

std::map<std::string, int> retries(const std::string& flag, const std::vector<std::string>& texts) {
  std::map<std::string, int> result;
  for (const auto& text : texts) {
    const auto equals = text.find('=');
    const auto cause = equals == std::string::npos ? "failed" : text.substr(0, equals);
    if (std::find(model::kRetryCauses.begin(), model::kRetryCauses.end(), cause) == model::kRetryCauses.end())
      refuse(flag, cause, "is not a cause a job can be retried for", "the causes are " + model::all_retry_causes());
    const auto number = equals == std::string::npos ? text : text.substr(equals + 1);
    result[cause] = static_cast<int>(whole_number(flag, number, 0, kMostRetries));
  }
  return result;
}

std::span<const std::string_view> retry_causes() { return model::kRetryCauses; }

}  // namespace berth::jobfile
