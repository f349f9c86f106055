#include "agent/cli/options.hpp"

#include <CLI/CLI.hpp>
#include <algorithm>

#include "agent/cli/nearest.hpp"
#include "agent/cli/output.hpp"
#include "runtime/base/error.hpp"
#include "runtime/base/text.hpp"

namespace berth::cli {
namespace {

constexpr std::size_t kHelpColumn = 26;
constexpr std::size_t kHelpWidth = 100;

// "-n,--detach" → "-n, --detach", "--all" → "    --all".
std::string shown(const std::string& names) {
  const auto comma = names.find(',');
  if (comma != std::string::npos) return names.substr(0, comma) + ", " + names.substr(comma + 1);
  return names.starts_with("--") ? "    " + names : names;
}

// Breaks `text` at spaces; lines but the first start at `column`.
std::string wrapped(const std::string& text, std::size_t column) {
  std::string result;
  std::size_t at = column;
  std::size_t begin = 0;
  while (begin <= text.size()) {
    const auto end = std::min(text.find(' ', begin), text.size());
    const auto length = end - begin;
    if (at > column && at + 1 + length > kHelpWidth) {
      result += "\n" + std::string(column, ' ');
      at = column;
    } else if (at > column) {
      result += ' ';
      ++at;
    }
    result.append(text, begin, length);
    at += length;
    begin = end + 1;
  }
  return result;
}

}  // namespace

struct Options::Parser {
  CLI::App app;
  bool help = false;
};

Options::Options(std::string verb, std::string usage, std::string summary)
    : verb_(std::move(verb)),
      usage_(std::move(usage)),
      summary_(std::move(summary)),
      parser_(std::make_unique<Parser>()) {
  parser_->app.set_help_flag();
  parser_->app.option_defaults()->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
}

Options::~Options() = default;

void Options::group(std::string heading) {
  groups_.push_back({std::move(heading), {}});
}

void Options::describe(std::string names, std::string help) {
  if (groups_.empty()) group("Options");
  groups_.back().lines.push_back({std::move(names), std::move(help)});
}

void Options::flag(const std::string& names, bool& target, std::string help) {
  parser_->app.add_flag(names, target);
  describe(shown(names), std::move(help));
}

void Options::option(const std::string& names, std::optional<std::string>& target, std::string value,
                     std::string help) {
  parser_->app.add_option_function<std::string>(names, [&target](const std::string& text) { target = text; });
  describe(shown(names) + " " + value, std::move(help));
}

void Options::option(const std::string& names, std::string& target, std::string value, std::string help) {
  parser_->app.add_option(names, target);
  describe(shown(names) + " " + value, std::move(help));
}

void Options::list(const std::string& names, std::vector<std::string>& target, std::string value,
                   std::string help) {
  parser_->app.add_option(names, target)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
      ->allow_extra_args(false);
  describe(shown(names) + " " + value, std::move(help));
}

void Options::argument(std::string name, std::string& target, std::string help) {
  parser_->app.add_option(name, target)->required();
  describe(std::move(name), std::move(help));
}

void Options::arguments(std::string name, std::vector<std::string>& target, bool required, std::string help) {
  parser_->app.add_option(name, target)
      ->required(required)
      ->expected(-1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  describe(name + "…", std::move(help));
}

void Options::command(std::vector<std::string>& target, std::string help) {
  parser_->app.prefix_command();
  command_ = &target;
  describe("COMMAND…", std::move(help));
}

void Options::section(std::string heading, std::string text) {
  sections_.emplace_back(std::move(heading), std::move(text));
}

bool Options::parse(const Arguments& arguments, Common& common) {
  group("Common");
  flag("--json", common.json, "JSON on standard output with stable keys; errors as JSON on standard error");
  option("--socket", common.socket, "PATH",
         "the agent's socket (default: $BERTH_SOCKET, else your own agent's, else the machine's)");
  flag("-h,--help", parser_->help, "show this help");
  try {
    parser_->app.parse(Arguments(arguments.rbegin(), arguments.rend()));
  } catch (const CLI::ParseError& mistake) {
    if (!parser_->help) {
      common.json = std::find(arguments.begin(), arguments.end(), "--json") != arguments.end();
      const auto* extras = dynamic_cast<const CLI::ExtrasError*>(&mistake);
      const std::string reason = extras != nullptr
                                     ? "does not know " + printable(parser_->app.remaining().front())
                                     : printable(mistake.what());
      throw Error(Code::invalid, verb_ + ": " + reason, "`berth " + verb_ + " --help` lists what it takes");
    }
  }
  if (parser_->help) {
    print(help());
    return false;
  }
  if (command_ != nullptr) take_command();
  return true;
}

void Options::take_command() {
  auto rest = parser_->app.remaining();
  if (!rest.empty() && rest.front() == "--") {
    rest.erase(rest.begin());
  } else if (!rest.empty() && rest.front().starts_with('-')) {
    std::vector<std::string> known;
    for (const auto* option : parser_->app.get_options())
      for (const auto& name : option->get_lnames()) known.push_back("--" + name);
    const auto similar = nearest(rest.front(), known);
    throw Error(
        Code::invalid, verb_ + ": does not know the option " + printable(rest.front()),
        similar ? "did you mean " + *similar + "?" : "`berth " + verb_ + " --help` lists the options");
  }
  *command_ = std::move(rest);
}

std::string Options::help() const {
  std::string text = "Usage: berth " + verb_ + " " + usage_ + "\n\n" + wrapped(summary_, 0) + "\n";
  for (const auto& group : groups_) {
    text += "\n" + group.heading + ":\n";
    for (const auto& line : group.lines) {
      auto row = "  " + line.names;
      const auto width = text_width(row);
      row += width + 2 > kHelpColumn ? "\n" + std::string(kHelpColumn, ' ')
                                     : std::string(kHelpColumn - width, ' ');
      text += row + wrapped(line.help, kHelpColumn) + "\n";
    }
  }
  for (const auto& [heading, body] : sections_) text += "\n" + heading + ":\n" + body;
  return text;
}

}  // namespace berth::cli
