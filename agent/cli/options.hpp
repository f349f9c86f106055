#pragma once

// The options of one verb: declared once, parsed by CLI11 (which only options.cpp sees), and told by --help.
// The variables that are declared outlive the Options.

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace berth::cli {

using Arguments = std::vector<std::string>;

// What every verb takes.
struct Common {
  bool json = false;
  std::string socket;  // "": $BERTH_SOCKET, else the user's own agent, else the machine's
};

class Options {
 public:
  // `usage` is what follows the verb: "[options] JOB…".
  Options(std::string verb, std::string usage, std::string summary);
  ~Options();
  Options(const Options&) = delete;
  Options& operator=(const Options&) = delete;

  // What follows is listed by --help below this heading.
  void group(std::string heading);
  // `names` is CLI11's: "-n,--detach". `value` is the placeholder: "N".
  void flag(const std::string& names, bool& target, std::string help);
  void option(const std::string& names, std::optional<std::string>& target, std::string value,
              std::string help);
  void option(const std::string& names, std::string& target, std::string value, std::string help);
  // May be given several times.
  void list(const std::string& names, std::vector<std::string>& target, std::string value, std::string help);
  void argument(std::string name, std::string& target, std::string help);
  void arguments(std::string name, std::vector<std::string>& target, bool required, std::string help);
  // Everything from the first argument that is no option, or after "--", untouched.
  void command(std::vector<std::string>& target, std::string help);
  // A paragraph of the help: "Examples" and its lines.
  void section(std::string heading, std::string text);

  // False when help was asked for (and printed): there is nothing to do then. Error Code::invalid for a
  // mistake.
  bool parse(const Arguments& arguments, Common& common);
  std::string help() const;

 private:
  struct Parser;
  struct Line {
    std::string names;
    std::string help;
  };
  struct Group {
    std::string heading;
    std::vector<Line> lines;
  };
  void describe(std::string names, std::string help);
  void take_command();

  std::string verb_;
  std::string usage_;
  std::string summary_;
  std::vector<Group> groups_;
  std::vector<std::pair<std::string, std::string>> sections_;
  std::vector<std::string>* command_ = nullptr;
  std::unique_ptr<Parser> parser_;
};

}  // namespace berth::cli
