#include "agent/cli/options.hpp"

#include <CLI/CLI.hpp>
#include <algorithm>

#include "agent/cli/nearest.hpp"
#include "agent/cli/output.hpp"
#include "runtime/base/error.hpp"
#include "runtime/base/text.hpp"

namespace berth::cli {
namespace {

using Kind = Description::Kind;

constexpr std::size_t kHelpColumn = 26;
constexpr std::size_t kHelpWidth = 100;

// "-n, --number N", "    --all", "JOB…".
std::string shown(const Description::Entry& entry) {
  const auto& names = entry.names;
  const auto comma = names.find(',');
  auto text = names.starts_with("--") ? "    " + names : names;
  if (comma != std::string::npos) text = names.substr(0, comma) + ", " + names.substr(comma + 1);
  return entry.value.empty() ? text : text + " " + entry.value;
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
    : description_{std::move(verb), std::move(usage), std::move(summary), {}, {}}, parser_(std::make_unique<Parser>()) {
  parser_->app.set_help_flag();
  parser_->app.option_defaults()->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
}

Options::~Options() = default;

void Options::group(std::string heading) { description_.groups.push_back({std::move(heading), {}}); }

void Options::describe(Kind kind, std::string names, std::string value, std::string help) {
  if (description_.groups.empty()) group("Options");
  description_.groups.back().entries.push_back({kind, std::move(names), std::move(value), std::move(help)});
}

void Options::flag(const std::string& names, bool& target, std::string help) {
  parser_->app.add_flag(names, target);
  describe(Kind::flag, names, "", std::move(help));
}

void Options::option(const std::string& names, std::optional<std::string>& target, std::string value,
                     std::string help) {
  parser_->app.add_option_function<std::string>(names, [&target](const std::string& text) { target = text; });
  describe(Kind::option, names, std::move(value), std::move(help));
}

void Options::option(const std::string& names, std::string& target, std::string value, std::string help) {
  parser_->app.add_option(names, target);
  describe(Kind::option, names, std::move(value), std::move(help));
}

void Options::list(const std::string& names, std::vector<std::string>& target, std::string value, std::string help) {
  parser_->app.add_option(names, target)->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)->allow_extra_args(false);
  describe(Kind::option, names, std::move(value), std::move(help));
}

void Options::argument(std::string name, std::string& target, std::string help) {
  parser_->app.add_option(name, target)->required();
  describe(Kind::argument, std::move(name), "", std::move(help));
}

void Options::arguments(std::string name, std::vector<std::string>& target, bool required, std::string help) {
  parser_->app.add_option(name, target)
      ->required(required)
      ->expected(-1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  describe(Kind::argument, name + "…", "", std::move(help));
}

void Options::command(std::vector<std::string>& target, std::string help) {
  parser_->app.prefix_command();
  command_ = &target;
  describe(Kind::command, "COMMAND…", "", std::move(help));
}

void Options::section(std::string heading, std::string text) {
  description_.sections.emplace_back(std::move(heading), std::move(text));
}

void Options::declare_common(Common& common) {
  group("Common");
  flag("--json", common.json, "JSON on standard output with stable keys; errors as JSON on standard error");
  option("--socket", common.socket, "PATH",
         "the agent's socket (default: $BERTH_SOCKET, else your own agent's, else the machine's)");
  flag("-h,--help", parser_->help, "show this help");
}

bool Options::parse(const Arguments& arguments, Common& common) {
  declare_common(common);
  if (common.description != nullptr) {
    *common.description = description_;
    return false;
  }
  try {
    parser_->app.parse(Arguments(arguments.rbegin(), arguments.rend()));
  } catch (const CLI::ParseError& mistake) {
    if (!parser_->help) {
      common.json = std::find(arguments.begin(), arguments.end(), "--json") != arguments.end();
      const auto* extras = dynamic_cast<const CLI::ExtrasError*>(&mistake);
      const std::string reason = extras != nullptr ? "does not know " + printable(parser_->app.remaining().front())
                                                   : printable(mistake.what());
      throw Error(Code::invalid, description_.verb + ": " + reason,
                  "`berth " + description_.verb + " --help` lists what it takes");
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
        Code::invalid, description_.verb + ": does not know the option " + printable(rest.front()),
        similar ? "did you mean " + *similar + "?" : "`berth " + description_.verb + " --help` lists the options");
  }
  *command_ = std::move(rest);
}

std::string Options::help() const {
  std::string text =
      "Usage: berth " + description_.verb + " " + description_.usage + "\n\n" + wrapped(description_.summary, 0) + "\n";
  for (const auto& group : description_.groups) {
    text += "\n" + group.heading + ":\n";
    for (const auto& entry : group.entries) {
      auto row = "  " + shown(entry);
      const auto width = text_width(row);
      row += width + 2 > kHelpColumn ? "\n" + std::string(kHelpColumn, ' ') : std::string(kHelpColumn - width, ' ');
      text += row + wrapped(entry.help, kHelpColumn) + "\n";
    }
  }
  for (const auto& [heading, body] : description_.sections) text += "\n" + heading + ":\n" + body;
  return text;
}

}  // namespace berth::cli
