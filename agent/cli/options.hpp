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

// What a verb takes: what --help tells, man pages are made from, and shells complete by.
struct Description {
  enum class Kind { flag, option, argument, command };
  struct Entry {
    Kind kind = Kind::flag;
    std::string names;  // "-n,--number"; of an argument "JOB", or "JOB…" where there may be several
    std::string value;  // placeholder of an option's value: "N"
    std::string help;
  };
  struct Group {
    std::string heading;
    std::vector<Entry> entries;
  };
  std::string verb;
  std::string usage;
  std::string summary;
  std::vector<Group> groups;
  std::vector<std::pair<std::string, std::string>> sections;  // heading, text
};

// What every verb takes.
struct Common {
  bool json = false;
  std::string socket;                  // "": $BERTH_SOCKET, else the user's own agent, else the machine's
  Description* description = nullptr;  // where set, a verb only tells here what it takes
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
  void option(const std::string& names, std::optional<std::string>& target, std::string value, std::string help);
  void option(const std::string& names, std::string& target, std::string value, std::string help);
  // May be given several times.
  void list(const std::string& names, std::vector<std::string>& target, std::string value, std::string help);
  void argument(std::string name, std::string& target, std::string help);
  void arguments(std::string name, std::vector<std::string>& target, bool required, std::string help);
  // Everything from the first argument that is no option, or after "--", untouched.
  void command(std::vector<std::string>& target, std::string help);
  // A paragraph of the help: "Examples" and its lines.
  void section(std::string heading, std::string text);

  // False when help (which is printed then) or a description was asked for: there is nothing to do. Error
  // Code::invalid for a mistake.
  bool parse(const Arguments& arguments, Common& common);
  std::string help() const;

 private:
  struct Parser;
  void describe(Description::Kind kind, std::string names, std::string value, std::string help);
  void declare_common(Common& common);
  void take_command();

  Description description_;
  std::vector<std::string>* command_ = nullptr;
  std::unique_ptr<Parser> parser_;
};

}  // namespace berth::cli
