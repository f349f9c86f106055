#include "runtime/environment/requirements.hpp"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "runtime/base/error.hpp"
#include "runtime/base/text.hpp"
#include "runtime/environment/requirement.hpp"

namespace berth::environment {
namespace {

constexpr std::size_t kMostLines = 20'000;
constexpr std::size_t kMostBytes = 8U << 20;
constexpr std::size_t kMostCredentials = 100;
constexpr std::size_t kMostOptions = 1000;
constexpr std::size_t kDeepest = 20;
constexpr std::size_t kLongestWord = 8192;
constexpr std::size_t kLongestLine = 65'536;  // some packages have hundreds of files, each with its hash
constexpr const char* kWriteLine = "write one requirement a line, as in 'numpy==1.26.4'";

enum class Kind {
  requirements,
  constraints,
  editable,
  index_url,
  extra_index_url,
  find_links,
  trusted_host,
  no_index,
  toggle,
  ordered,
  ignored,  // has no effect on what is installed
};
struct Option {
  std::string_view name;
  std::string_view called;  // the name that pip's own documentation prefers
  Kind kind;
};

// https://pip.pypa.io/en/stable/reference/requirements-file-format/#global-options
constexpr std::array<Option, 21> kOptions{{
    {"-r", "--requirement", Kind::requirements},
    {"--requirement", "--requirement", Kind::requirements},
    {"-c", "--constraint", Kind::constraints},
    {"--constraint", "--constraint", Kind::constraints},
    {"-e", "--editable", Kind::editable},
    {"--editable", "--editable", Kind::editable},
    {"-i", "--index-url", Kind::index_url},
    {"--index-url", "--index-url", Kind::index_url},
    {"--pypi-url", "--index-url", Kind::index_url},
    {"--extra-index-url", "--extra-index-url", Kind::extra_index_url},
    {"-f", "--find-links", Kind::find_links},
    {"--find-links", "--find-links", Kind::find_links},
    {"--trusted-host", "--trusted-host", Kind::trusted_host},
    {"--no-index", "--no-index", Kind::no_index},
    {"--prefer-binary", "--prefer-binary", Kind::toggle},
    {"--require-hashes", "--require-hashes", Kind::toggle},
    {"--pre", "--pre", Kind::toggle},
    {"--no-binary", "--no-binary", Kind::ordered},
    {"--only-binary", "--only-binary", Kind::ordered},
    {"--use-feature", "--use-feature", Kind::ordered},
    {"--no-cache-dir", "--no-cache-dir", Kind::ignored},
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

// What pip, by way of Python's splitlines(), or a terminal would take for more than text.
bool has_control_character(std::string_view text) {
  for (const auto* separator : {"\x7f", "\u0085", "\u2028", "\u2029"})
    if (text.find(separator) != text.npos) return true;
  return std::any_of(text.begin(), text.end(), [](unsigned char c) { return c < ' ' && c != '\t'; });
}

// The words of a line's options, taken one after the other.
class OptionWords {
 public:
  OptionWords(std::string_view text, const Place& place) : words_(words_of(text)), place_(place) {}

  bool done() const { return at_ == words_.size(); }

  // The next option's name; its value may be in the same word: "-rfile", "--option=value".
  const std::string& take_name() {
    const auto& word = words_[at_++];
    const bool is_short = word.size() > 1 && word[0] == '-' && word[1] != '-';
    const auto end = std::min(is_short ? 2 : word.find('='), word.size());
    has_value_ = end < word.size();
    value_ = word.substr(std::min(end + (is_short ? 0 : 1), word.size()));
    return name_ = word.substr(0, end);
  }

  std::string take_value() {
    if (value_.empty() && !done()) value_ = words_[at_++];
    if (value_.empty())
      refuse(place_, "pip's option '" + printable(name_) + "' has no value", "write it after the option");
    return value_;
  }

  // For what is written into a file for pip again, with none of these characters in it.
  std::string take_value_without(std::string_view characters) {
    const auto value = take_value();
    if (value.find_first_of(characters) != value.npos)
      refuse(place_, "the value of pip's option '" + printable(name_) + "' has a blank, quote, '\\' or '#' in it",
             "leave it out");
    return value;
  }

  void expect_no_value() const {
    if (has_value_) refuse(place_, "pip's option '" + printable(name_) + "' takes no value", "write the option alone");
  }

 private:
  const std::vector<std::string> words_;
  const Place& place_;
  std::size_t at_ = 0;
  std::string name_;
  std::string value_;
  bool has_value_ = false;
};

std::string checked_hash(const std::string& hash, const Place& place) {
  if (!std::all_of(hash.begin(), hash.end(), [](char c) { return is_alphanumeric(c) || c == ':'; }))
    refuse(place, "a requirement has a hash that cannot be read", "write it as in --hash=sha256:…");
  return hash;
}

// Hashes in one order, then the options of the build in theirs.
std::string options_behind(std::string_view text, const Place& place) {
  std::set<std::string> hashes;
  std::string build;
  for (OptionWords words(text, place); !words.done();) {
    const auto name = words.take_name();
    if (name == "--hash") {
      hashes.insert(checked_hash(words.take_value(), place));
    } else if (name == "--config-settings" || name == "--config-setting" || name == "--global-option") {
      const auto* called = name == "--global-option" ? " --global-option" : " --config-settings";
      build += called + ("=\"" + words.take_value_without("\"'\\#") + "\"");
    } else {
      refuse(place, "pip's option '" + printable(name) + "' is not known behind a requirement",
             "known there: --hash=…, --config-settings=…, --global-option=…");
    }
  }
  std::string options;
  for (const auto& hash : hashes) options += " --hash=" + hash;
  return options + build;
}

std::string whole_requirement(std::string_view line, const Place& place) {
  const auto tail = std::min({line.find(" --"), line.find("\t--"), line.size()});
  return canonical_requirement(line.substr(0, tail), place) + options_behind(line.substr(tail), place);
}

std::string source(const std::string& name, const std::string& value, const Place& place) {
  if (!is_url(value) && !value.starts_with('/'))
    refuse(place, name + " names '" + printable(value) + "', a directory beside the file where it was written",
           "give a URL, or the absolute path of a directory on the node");
  return value;
}

void add_once(std::vector<std::string>& list, const std::string& text) {
  if (std::find(list.begin(), list.end(), text) == list.end()) list.push_back(text);
}

void take_option(Requirements& result, const Option& option, OptionWords& words, const Place& place) {
  const std::string called(option.called);
  const auto value = [&] { return words.take_value_without("\"'\\# \t"); };
  auto& indexes = result.indexes;
  switch (option.kind) {
    case Kind::index_url:
      indexes.index_url = source(called, value(), place);  // the last one counts, for pip too
      return;
    case Kind::extra_index_url:
      return add_once(indexes.extra_index_urls, source(called, value(), place));
    case Kind::find_links:
      return add_once(indexes.find_links, source(called, value(), place));
    case Kind::trusted_host:
      return add_once(indexes.trusted_hosts, value());
    case Kind::ordered: {
      const auto whole = called + "=" + value();
      std::erase(result.options, whole);  // the later ones count more
      result.options.push_back(whole);
      return;
    }
    default:
      words.expect_no_value();
  }
  if (option.kind == Kind::no_index) indexes.no_index = true;
  if (option.kind == Kind::toggle) result.switches.insert(called);
}

// Only options have a blank before "--", and hashes are the first of them.
bool has_hash(const std::string& line) {
  return std::string_view(line).substr(std::min(line.find(" --"), line.size())).starts_with(" --hash=");
}

bool has_build_option(const std::string& line) {
  return line.find(" --config-settings=\"") != line.npos || line.find(" --global-option=\"") != line.npos;
}

void sort_lines(std::vector<std::string>& lines) {
  std::sort(lines.begin(), lines.end());
  lines.erase(std::unique(lines.begin(), lines.end()), lines.end());
}

template <typename Lines>
std::string as_file(const Lines& lines) {
  std::string text;
  for (const auto& line : lines) text += line + "\n";
  return text;
}

}  // namespace

void RequirementsReader::read(std::string_view lines, const Place& place) {
  open_.assign(1, place.file);
  read_lines(lines, place, As::requirement);
}

void RequirementsReader::read_requirement(std::string_view text, const Place& place) {
  count(text.size(), place);
  result_.requirements.push_back(canonical_requirement(checked(trimmed(text), place), place));
}

Requirements RequirementsReader::take() { return std::exchange(result_, {}); }

// Physical lines into logical ones: a backslash at the end joins the next, and comments go.
void RequirementsReader::read_lines(std::string_view text, Place place, As as) {
  if (!is_utf8(text)) refuse(place, "is not UTF-8 text", "save it as UTF-8");
  std::string logical;
  auto begun = place;
  for (std::size_t at = 0; at < text.size(); ++place.line) {
    const auto end = std::min(text.find('\n', at), text.size());
    auto line = text.substr(at, end - at);
    at = end + 1;
    count(line.size(), place);
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (logical.empty()) begun = place;
    const bool is_comment = trimmed(line).starts_with('#');
    const bool goes_on = line.ends_with('\\') && !is_comment;
    if (goes_on) line.remove_suffix(1);
    logical.append(is_comment ? " " : "").append(line);
    if (logical.size() > kLongestLine) refuse(begun, "a line for pip is longer than 65536 characters", kWriteLine);
    if (goes_on && at < text.size()) continue;
    read_line(trimmed(without_comment(logical)), begun, as);
    logical.clear();
  }
}

void RequirementsReader::read_line(std::string_view text, const Place& place, As as) {
  if (text.empty()) return;
  const auto line = checked(text, place);
  if (line.starts_with('-')) return read_options(line, place, as);
  (as == As::constraint ? result_.constraints : result_.requirements).push_back(whole_requirement(line, place));
}

// The line without logins, which are kept; no error from here on has one to repeat.
std::string RequirementsReader::checked(std::string_view text, const Place& place) {
  std::vector<Credential> logins;
  const auto line = without_logins(text, logins);
  keep(logins, place);
  auto unquoted = line;
  std::erase_if(unquoted, [](char c) { return c == '"' || c == '\'' || c == '\\'; });
  if (has_credentials(unquoted) || has_broken_login(unquoted)) refuse_credentials(place);

  const auto told = [&] { return "the line for pip '" + printable(line.substr(0, 200)) + "' "; };
  if (has_control_character(text)) refuse(place, told() + "has a control character", kWriteLine);
  for (std::size_t at = 0, end = 0; at < line.size(); at = end + 1) {
    end = std::min(line.find_first_of(" \t", at), line.size());
    if (end - at > kLongestWord) refuse(place, told() + "has a word longer than 8192 characters", kWriteLine);
  }
  const auto variable = variable_reference(unquoted);
  if (!variable.empty() || text.find("${") != text.npos || unquoted.find("${") != unquoted.npos)
    refuse(place, told() + "uses " + (variable.empty() ? "a variable" : "the variable " + variable),
           "write what it stands for; a secret belongs into the node's configuration of its package index");
  return line;
}

void RequirementsReader::keep(const std::vector<Credential>& credentials, const Place& place) {
  if (!credentials.empty() && logins_ == Logins::refused) refuse_credentials(place);
  auto& kept = result_.credentials;
  for (const auto& credential : credentials)
    if (std::find(kept.begin(), kept.end(), credential) == kept.end()) kept.push_back(credential);
  if (kept.size() > kMostCredentials)
    refuse(place, "there are more than 100 user names and passwords in URLs",
           "set the indexes in the node's configuration, where such URLs are kept");
}

void RequirementsReader::read_options(std::string_view line, const Place& place, As as) {
  for (OptionWords words(line, place); !words.done();) {
    const auto name = words.take_name();
    const auto* option = find_option(name);
    if (option == nullptr)
      refuse(place, "pip's option '" + printable(name) + "' is not known in a list of requirements",
             "known: -r, -c, --index-url, --extra-index-url, --find-links, --no-index, --trusted-host, "
             "--no-binary, --only-binary, --prefer-binary, --require-hashes, --pre, --use-feature");
    if (option->kind == Kind::editable)
      refuse(place, "'" + printable(line.substr(0, 200)) + "' installs a directory of the machine where it was written",
             "leave it out: code of the job itself is imported from its working directory; or give the "
             "package's URL");
    if (option->kind == Kind::requirements) {
      include(words.take_value(), place, as);
    } else if (option->kind == Kind::constraints) {
      include(words.take_value(), place, As::constraint);
    } else if (++options_ > kMostOptions) {
      refuse(place, "there are more than 1000 options for pip", "keep those that are needed");
    } else {
      take_option(result_, *option, words, place);
    }
  }
}

void RequirementsReader::include(const std::string& name, const Place& place, As as) {
  const auto includes = "includes '" + printable(name) + "', ";
  if (is_url(name)) refuse(place, includes + "whose contents may change at any time", "fetch it, and include the file");
  const auto path = name.starts_with('/') ? std::nullopt : relative_to(place.file, name);
  if (!path)
    refuse(place, includes + "which is not a file beside this one", "give a path relative to " + printable(place.file));
  const auto file = files_.find(*path);
  if (file == files_.end())
    refuse(place, includes + "which was not sent with it", "send " + printable(*path) + " too, or correct the name");
  if (std::find(open_.begin(), open_.end(), *path) != open_.end())
    refuse(place, includes + "which includes this file again", "remove one of the two");
  if (open_.size() > kDeepest) refuse(place, includes + "more than 20 files deep", "include it further up");
  open_.push_back(*path);
  read_lines(file->second, Place{*path, 1}, as);
  open_.pop_back();
}

void RequirementsReader::count(std::size_t bytes, const Place& place) {
  bytes_ += bytes;
  if (++lines_ > kMostLines || bytes_ > kMostBytes)
    refuse(place, "there are more than 20000 lines for pip, or more than 8 MiB",
           "name fewer packages; pip finds what they need");
}

bool Requirements::has_hashes() const {
  return std::any_of(requirements.begin(), requirements.end(), has_hash) ||
         std::any_of(constraints.begin(), constraints.end(), has_hash);
}

bool Requirements::has_build_options() const {
  return std::any_of(requirements.begin(), requirements.end(), has_build_option) ||
         std::any_of(constraints.begin(), constraints.end(), has_build_option);
}

bool Requirements::are_of_user() const {
  const auto names_place = [](const std::string& requirement) {
    return requirement.find(" @ ") != std::string::npos || requirement.find("://") != std::string::npos;
  };
  return !credentials.empty() || !indexes.index_url.empty() || !indexes.extra_index_urls.empty() ||
         !indexes.find_links.empty() || !indexes.trusted_hosts.empty() ||
         std::any_of(requirements.begin(), requirements.end(), names_place) ||
         std::any_of(constraints.begin(), constraints.end(), names_place);
}

void Requirements::sort() {
  sort_lines(requirements);
  sort_lines(constraints);
}

std::vector<std::string> Requirements::option_lines() const {
  std::vector<std::string> lines;
  if (!indexes.index_url.empty()) lines.push_back("--index-url=" + indexes.index_url);
  for (const auto& url : indexes.extra_index_urls) lines.push_back("--extra-index-url=" + url);
  for (const auto& links : indexes.find_links) lines.push_back("--find-links=" + links);
  for (const auto& host : indexes.trusted_hosts) lines.push_back("--trusted-host=" + host);
  if (indexes.no_index) lines.emplace_back("--no-index");
  lines.insert(lines.end(), options.begin(), options.end());
  return lines;
}

std::string Requirements::requirements_file() const {
  return as_file(option_lines()) + as_file(switches) + as_file(requirements);
}

std::string Requirements::constraints_file() const { return as_file(constraints); }

Requirements read_requirements(const std::string& file, const Files& files) {
  const auto found = files.find(file);
  if (found == files.end())
    throw Error(Code::invalid, "the file " + printable(file) + " was not sent", "check the file's name");
  RequirementsReader reader(files, Logins::taken_out);
  reader.read(found->second, {file, 1});
  return reader.take();
}

std::vector<gpu::CudaRequirement> cuda_wanted(const Requirements& requirements) {
  auto lines = requirements.option_lines();
  lines.insert(lines.end(), requirements.requirements.begin(), requirements.requirements.end());
  return gpu::wanted_by_pip(lines);
}

}  // namespace berth::environment
