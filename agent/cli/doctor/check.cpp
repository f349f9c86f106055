#include "agent/cli/doctor/check.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "runtime/base/text.hpp"

namespace berth::cli::doctor {
namespace {

using nlohmann::json;

constexpr std::size_t kLevelWidth = 9;
constexpr std::size_t kNameWidth = 12;

std::string padded(std::string_view text, std::size_t width) {
  return std::string(text) + std::string(width - std::min(width, text.size()), ' ');
}

Style style_of(Level level) {
  switch (level) {
    case Level::ok:
      return Style::green;
    case Level::note:
      return Style::blue;
    case Level::warning:
      return Style::yellow;
    case Level::problem:
      break;
  }
  return Style::red;
}

// Each line of the text, indented.
std::string indented(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const auto end = std::min(text.find('\n'), text.size());
    out += std::string(kLevelWidth + kNameWidth, ' ') + printable(text.substr(0, end)) + "\n";
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return out;
}

long number_of(const std::vector<Check>& checks, Level level) {
  return std::count_if(checks.begin(), checks.end(), [&](const Check& check) { return check.level == level; });
}

std::string counted(long number, const std::string& noun) {
  return (number == 0 ? "no" : std::to_string(number)) + " " + noun + (number == 1 ? "" : "s");
}

}  // namespace

std::string_view name(Level level) {
  switch (level) {
    case Level::ok:
      return "ok";
    case Level::note:
      return "note";
    case Level::warning:
      return "warning";
    case Level::problem:
      break;
  }
  return "problem";
}

std::string checks_page(const std::vector<Check>& checks, bool verbose, const Screen& screen) {
  std::string page;
  for (const auto& check : checks) {
    const auto level = name(check.level);
    page += screen.styled(style_of(check.level), level) + std::string(kLevelWidth - level.size(), ' ');
    page += padded(check.name, kNameWidth) + printable(check.what) + "\n";
    page += indented(check.advice);
    if (verbose)
      for (const auto& detail : check.details) page += indented(detail);
  }
  return page + counted(number_of(checks, Level::problem), "problem") + ", " +
         counted(number_of(checks, Level::warning), "warning") + "\n";
}

std::string checks_json(const std::vector<Check>& checks) {
  json list = json::array();
  for (const auto& check : checks)
    list.push_back({{"name", check.name},
                    {"level", name(check.level)},
                    {"what", printable(check.what)},
                    {"advice", check.advice},
                    {"details", check.details}});
  const json out{{"checks", std::move(list)},
                 {"problems", number_of(checks, Level::problem)},
                 {"warnings", number_of(checks, Level::warning)}};
  return out.dump(-1, ' ', false, json::error_handler_t::replace);
}

bool has_problem(const std::vector<Check>& checks) { return number_of(checks, Level::problem) > 0; }

}  // namespace berth::cli::doctor
