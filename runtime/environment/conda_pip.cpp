#include "runtime/environment/conda_pip.hpp"

#include <algorithm>
#include <array>
#include <optional>

#include "runtime/base/error.hpp"
#include "runtime/base/text.hpp"

namespace berth::environment::conda {
namespace {

constexpr std::size_t kMostLines = 20'000;
constexpr std::size_t kDeepest = 20;
constexpr std::size_t kLongest = 8192;
constexpr const char* kWriteRequirement =
    "write it as in 'numpy', 'numpy==1.26.4' or 'torch>=2,<3 ; python_version < \"3.12\"'";

enum class Takes { nothing, value };
enum class Kind { ordered, toggle, requirements, constraints };
struct Option {
  std::string_view name;
  std::string_view called;  // the name that pip's own documentation prefers
  Takes takes;
  Kind kind;
};

// https://pip.pypa.io/en/stable/reference/requirements-file-format/#global-options
constexpr std::array<Option, 19> kOptions{{
    {"-i", "--index-url", Takes::value, Kind::ordered},
    {"--index-url", "--index-url", Takes::value, Kind::ordered},
    {"--pypi-url", "--index-url", Takes::value, Kind::ordered},
    {"--extra-index-url", "--extra-index-url", Takes::value, Kind::ordered},
    {"-f", "--find-links", Takes::value, Kind::ordered},
    {"--find-links", "--find-links", Takes::value, Kind::ordered},
    {"--no-index", "--no-index", Takes::nothing, Kind::ordered},
    {"--trusted-host", "--trusted-host", Takes::value, Kind::ordered},
    {"--no-binary", "--no-binary", Takes::value, Kind::ordered},
    {"--only-binary", "--only-binary", Takes::value, Kind::ordered},
    {"--prefer-binary", "--prefer-binary", Takes::nothing, Kind::toggle},
    {"--require-hashes", "--require-hashes", Takes::nothing, Kind::toggle},
    {"--pre", "--pre", Takes::nothing, Kind::toggle},
    {"--use-feature", "--use-feature", Takes::value, Kind::ordered},
    {"-r", "--requirement", Takes::value, Kind::requirements},
    {"--requirement", "--requirement", Takes::value, Kind::requirements},
    {"-c", "--constraint", Takes::value, Kind::constraints},
    {"--constraint", "--constraint", Takes::value, Kind::constraints},
    {"--no-cache-dir", "", Takes::nothing, Kind::toggle},  // has no effect on what is installed
}};

const Option* find_option(std::string_view name) {
  const auto* found =
      std::find_if(kOptions.begin(), kOptions.end(), [&](const auto& option) { return option.name == name; });
  return found == kOptions.end() ? nullptr : found;
}

[[noreturn]] void refuse_credentials(const Place& place) {
  // The line is not told: the error may be stored and shown.
  refuse(place, "a line for pip has a user name, password or token in its URL",
         "set that index in the node's configuration, where such URLs are kept");
}

bool is_alphanumeric(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

// PEP 503: runs of '-', '_' and '.' are one '-'.
std::string normal_name(std::string_view name) {
  std::string normal;
  for (const char c : lower_case(name)) {
    const bool dash = c == '-' || c == '_' || c == '.';
    if (!dash || normal.empty() || normal.back() != '-') normal += dash ? '-' : c;
  }
  return normal;
}

std::string without_blanks(std::string_view text) {
  std::string tight;
  for (const char c : text)
    if (c != ' ' && c != '\t') tight += c;
  return tight;
}

std::string joined(const std::vector<std::string>& words, const char* between) {
  std::string text;
  for (const auto& word : words) text.append(text.empty() ? "" : between).append(word);
  return text;
}

std::string sorted_list(std::string_view text) {
  std::vector<std::string> items;
  for (std::size_t at = 0; at <= text.size();) {
    const auto end = std::min(text.find(',', at), text.size());
    if (end > at) items.emplace_back(text.substr(at, end - at));
    at = end + 1;
  }
  std::sort(items.begin(), items.end());
  return joined(items, ",");
}

// Blanks outside of quotes become one each.
std::string spaced(std::string_view text) {
  std::string result;
  char quote = 0;
  for (const char c : trimmed(text)) {
    if (quote == 0 && (c == ' ' || c == '\t')) {
      if (result.back() != ' ') result += ' ';
      continue;
    }
    if (quote == 0 && (c == '"' || c == '\'')) {
      quote = c;
    } else if (c == quote) {
      quote = 0;
    }
    result += c;
  }
  return result;
}

bool is_local(std::string_view text) {
  const auto word = text.substr(0, text.find_first_of(" \t;"));
  if (word.starts_with("file:") || word.find("+file:") != std::string_view::npos) return true;
  if (word.starts_with('.') || word.starts_with('~') || word.starts_with('/') ||
      word.find('\\') != std::string_view::npos)
    return true;
  if (is_url(word)) return false;
  const auto path = word.substr(0, word.find('@'));
  return path.find('/') != std::string_view::npos || path.ends_with(".whl") || path.ends_with(".tar.gz") ||
         path.ends_with(".zip");
}

// Reads one requirement; its members are what every error needs.
class Requirement {
 public:
  Requirement(std::string_view line, const Place& place) : line_(line), place_(place) {}

  std::string read() {
    if (line_.size() > kLongest) fail("is longer than 8192 characters", kWriteRequirement);
    const auto tail = std::min(line_.find(" --"), line_.find("\t--"));
    const auto options = tail == std::string_view::npos ? "" : options_of(line_.substr(tail + 1));
    const auto text = trimmed(line_.substr(0, tail));
    if (is_local(text)) fail_local();
    return (is_url(text) ? spaced(text) : named(text)) + options;
  }

 private:
  [[noreturn]] void fail(const std::string& why, const std::string& remedy) const {
    refuse(place_, "the requirement '" + printable(line_.substr(0, 200)) + "' " + why, remedy);
  }

  [[noreturn]] void fail_local() const {
    fail("is a path on the machine where it was written",
         "put the package on an index or into the node's wheel directory; code of the job itself is imported "
         "from its "
         "working directory and needs no installing");
  }

  std::string options_of(std::string_view text) const {
    std::set<std::string> hashes;
    std::string others;
    for (const auto& word : words_of(text)) {
      if (word.starts_with("--hash=")) {
        const auto hash = word.substr(word.find('=') + 1);
        if (!std::all_of(hash.begin(), hash.end(), [](char c) { return is_alphanumeric(c) || c == ':'; }))
          fail("has a hash that cannot be read", "write it as in --hash=sha256:…");
        hashes.insert(word);
      } else if (word.starts_with("--config-settings=") || word.starts_with("--config-setting=") ||
                 word.starts_with("--global-option=")) {
        const auto equals = word.find('=') + 1;
        if (word.find_first_of("\"'\\") != std::string::npos)
          fail("has a quote within an option", "leave the quotes out");
        others += " " + word.substr(0, equals) + "\"" + word.substr(equals) + "\"";
      } else {
        fail("has the unknown option '" + printable(word) + "'",
             "known there: --hash=…, --config-settings=…, --global-option=…");
      }
    }
    std::string options = others;
    for (const auto& hash : hashes) options += " " + hash;
    return options;
  }

  // "name[extras] >=1 ; marker" or "name @ URL ; marker".
  std::string named(std::string_view text) const {
    auto end = std::find_if_not(text.begin(), text.end(), [](char c) {
      return is_alphanumeric(c) || c == '-' || c == '_' || c == '.';
    });
    const auto name = text.substr(0, static_cast<std::size_t>(end - text.begin()));
    if (name.empty() || !is_alphanumeric(name.front()) || !is_alphanumeric(name.back()))
      fail("cannot be read", kWriteRequirement);
    auto rest = trimmed(text.substr(name.size()));
    const auto extras = take_extras(rest);
    if (rest.starts_with('@')) return normal_name(name) + extras + " @ " + at_url(trimmed(rest.substr(1)));
    const auto semicolon = rest.find(';');
    const auto versions = versions_of(trimmed(rest.substr(0, semicolon)));
    return normal_name(name) + extras + versions + marker_of(rest, semicolon);
  }

  std::string take_extras(std::string_view& rest) const {
    if (!rest.starts_with('[')) return {};
    const auto close = rest.find(']');
    if (close == std::string_view::npos) fail("has brackets that are not closed", kWriteRequirement);
    const auto extras = sorted_list(lower_case(without_blanks(rest.substr(1, close - 1))));
    rest = trimmed(rest.substr(close + 1));
    return extras.empty() ? "" : "[" + extras + "]";
  }

  std::string at_url(std::string_view url) const {
    if (is_local(url)) fail_local();
    if (!is_url(url)) fail("has no URL after its '@'", kWriteRequirement);
    return spaced(url);
  }

  std::string versions_of(std::string_view text) const {
    if (text.starts_with('(') && text.ends_with(')')) text = text.substr(1, text.size() - 2);
    const auto versions = sorted_list(without_blanks(text));
    if (versions.empty()) return {};
    const bool readable = std::all_of(versions.begin(), versions.end(), [](char c) {
      return is_alphanumeric(c) || std::string_view("<>=!~,.*+-_").find(c) != std::string_view::npos;
    });
    const auto is_operator = [](char c) {
      return std::string_view("<>=!~").find(c) != std::string_view::npos;
    };
    if (!readable || !is_operator(versions.front()) || is_operator(versions.back()))
      fail("cannot be read", kWriteRequirement);
    return versions;
  }

  static std::string marker_of(std::string_view rest, std::size_t semicolon) {
    if (semicolon == std::string_view::npos) return {};
    return " ; " + spaced(rest.substr(semicolon + 1));
  }

  std::string_view line_;
  const Place& place_;
};

bool is_wanted_source(const std::string& option, const std::string& value) {
  return option != "--find-links" || is_url(value) || value.starts_with('/');
}

}  // namespace

std::string parse_requirement(std::string_view line, const Place& place) {
  return Requirement(line, place).read();
}

void PipReader::read(std::string_view lines, const Place& place) {
  open_.assign(1, place.file);
  read_lines(lines, place, As::requirement);
}

// Physical lines into logical ones: a backslash at the end joins the next, and comments go.
void PipReader::read_lines(std::string_view text, Place place, As as) {
  std::string logical;
  auto begun = place;
  for (std::size_t at = 0; at < text.size(); ++place.line) {
    const auto end = std::min(text.find('\n', at), text.size());
    auto line = text.substr(at, end - at);
    at = end + 1;
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (logical.empty()) begun = place;
    const bool goes_on = line.ends_with('\\') && at < text.size();
    if (goes_on) line.remove_suffix(1);
    logical += line;
    if (logical.size() > kLongest)
      refuse(begun, "a line for pip is longer than 8192 characters", kWriteRequirement);
    if (goes_on) continue;
    read_line(trimmed(without_comment(logical)), begun, as);
    logical.clear();
  }
}

void PipReader::read_line(std::string_view line, const Place& place, As as) {
  if (line.empty()) return;
  count(place);
  for (const char c : line)
    if (static_cast<unsigned char>(c) < ' ' && c != '\t')
      refuse(place, "the line for pip '" + printable(line.substr(0, 200)) + "' has a control character",
             kWriteRequirement);
  if (const auto reference = variable_reference(line); !reference.empty())
    refuse(place, "the line for pip '" + printable(line.substr(0, 200)) + "' uses the variable " + reference,
           "write what it stands for; a secret belongs into the node's configuration of its package index");
  for (const auto& word : words_of(line))
    if (has_credentials(word.substr(word.starts_with("-") ? word.find('=') + 1 : 0)))
      refuse_credentials(place);
  if (line.starts_with('-')) return read_options(line, place, as);
  (as == As::constraint ? part_.constraints : part_.requirements).insert(parse_requirement(line, place));
}

void PipReader::read_options(std::string_view line, const Place& place, As as) {
  const auto words = words_of(line);
  for (std::size_t i = 0; i < words.size(); ++i) {
    const auto& word = words[i];
    const bool is_short = word.size() > 1 && word[0] == '-' && word[1] != '-';
    const auto equals = is_short ? std::string::npos : word.find('=');
    // "-rfile" and "-r file", "--option=value" and "--option value".
    const auto name = is_short ? word.substr(0, 2) : word.substr(0, equals);
    auto value = is_short ? word.substr(2) : equals == std::string::npos ? "" : word.substr(equals + 1);
    if (name == "-e" || name == "--editable")
      refuse(
          place,
          "'" + printable(line.substr(0, 200)) + "' installs a directory of the machine where it was written",
          "leave it out: code of the job itself is imported from its working directory; or give the "
          "package's URL");
    const auto* option = find_option(name);
    if (option == nullptr)
      refuse(place, "pip's option '" + printable(name) + "' is not known in a list of requirements",
             "known: -r, -c, --index-url, --extra-index-url, --find-links, --no-index, --trusted-host, "
             "--no-binary, "
             "--only-binary, --prefer-binary, --require-hashes, --pre, --use-feature");
    if (option->takes == Takes::value && value.empty() && i + 1 < words.size()) value = words[++i];
    if (option->takes == Takes::value && value.empty())
      refuse(place, "pip's option '" + std::string(option->name) + "' has no value",
             "write it after the option");
    if (option->takes == Takes::nothing && (!value.empty() || equals != std::string::npos))
      refuse(place, "pip's option '" + std::string(option->name) + "' takes no value",
             "write the option alone");
    take_option(name, value, place, as);
  }
}

void PipReader::take_option(const std::string& name, const std::string& value, const Place& place, As as) {
  const auto& option = *find_option(name);
  const std::string called(option.called);
  switch (option.kind) {
    case Kind::requirements:
      return include(value, place, as);
    case Kind::constraints:
      return include(value, place, As::constraint);
    case Kind::toggle:
      if (!called.empty()) part_.switches.insert(called);
      return;
    case Kind::ordered:
      break;
  }
  if (!is_wanted_source(called, value))
    refuse(place, "--find-links names '" + printable(value) + "', a directory beside the file",
           "give a URL, or the absolute path of a directory on the node");
  const auto whole = value.empty() ? called : called + "=" + value;
  // A source told twice is one source; of two index URLs the last one counts, for pip as here.
  std::erase(part_.options, whole);
  part_.options.push_back(whole);
}

void PipReader::include(const std::string& name, const Place& place, As as) {
  const auto quoted = "'" + printable(name) + "'";
  if (is_url(name))
    refuse(place, "includes " + quoted + ", whose contents may change at any time",
           "fetch it, and include the file");
  const auto path = name.starts_with('/') ? std::nullopt : relative_to(place.file, name);
  if (!path)
    refuse(place, "includes " + quoted + ", which is not a file beside this one",
           "give a path relative to " + printable(place.file));
  const auto file = files_.find(*path);
  if (file == files_.end()) {
    if (missing_ == nullptr)
      refuse(place, "includes " + quoted + ", which does not exist",
             "create " + printable(*path) + ", or correct the name");
    missing_->insert(*path);
    return;
  }
  if (std::find(open_.begin(), open_.end(), *path) != open_.end())
    refuse(place, "includes " + quoted + ", which includes this file again", "remove one of the two");
  if (open_.size() > kDeepest)
    refuse(place, "includes " + quoted + " more than 20 files deep", "include it further up");
  if (!is_utf8(file->second)) refuse({*path, 1}, "is not UTF-8 text", "save it as UTF-8");
  count(place);
  open_.push_back(*path);
  read_lines(file->second, Place{*path, 1}, as);
  open_.pop_back();
}

void PipReader::count(const Place& place) {
  if (++lines_ > kMostLines)
    refuse(place, "there are more than 20000 lines for pip", "name fewer packages; pip finds what they need");
}

std::string PipPart::requirements_file() const {
  std::string text;
  for (const auto& option : options) text += option + "\n";
  for (const auto& option : switches) text += option + "\n";
  for (const auto& requirement : requirements) text += requirement + "\n";
  return text;
}

std::string PipPart::constraints_file() const {
  std::string text;
  for (const auto& constraint : constraints) text += constraint + "\n";
  return text;
}

}  // namespace berth::environment::conda
