#include "runtime/environment/requirements.hpp"

#include <algorithm>
#include <array>
#include <filesystem>
#include <optional>
#include <set>
#include <string_view>

#include "runtime/base/error.hpp"
#include "runtime/base/text.hpp"

namespace berth::environment {

bool Requirements::has_hashes() const {
  return std::any_of(requirements.begin(), requirements.end(),
                     [](const std::string& line) { return line.find(" --hash=") != std::string::npos; });
}

namespace {

constexpr std::string_view kBlank = " \t\r\f";

// What a line begins with when it is an option, and what that one is about.
struct Option {
  std::string name;   // the long form
  std::string value;  // "" for none
};

struct OptionName {
  std::string_view name;
  std::string_view brief;
  bool has_value;
};
constexpr std::array<OptionName, 14> kOptions{{{"--requirement", "-r", true},
                                               {"--constraint", "-c", true},
                                               {"--editable", "-e", true},
                                               {"--index-url", "-i", true},
                                               {"--pypi-url", "", true},
                                               {"--extra-index-url", "", true},
                                               {"--find-links", "-f", true},
                                               {"--no-index", "", false},
                                               {"--trusted-host", "", true},
                                               {"--no-binary", "", true},
                                               {"--only-binary", "", true},
                                               {"--prefer-binary", "", false},
                                               {"--require-hashes", "", false},
                                               {"--pre", "", false}}};

std::optional<Option> option_of(std::string_view line) {
  if (!line.starts_with('-')) return std::nullopt;
  for (const auto& [name, brief, has_value] : kOptions) {
    const bool long_form =
        line.starts_with(name) && (line.size() == name.size() || line[name.size()] == '=' ||
                                   kBlank.find(line[name.size()]) != std::string_view::npos);
    const bool brief_form = !brief.empty() && !line.starts_with("--") && line.starts_with(brief);
    if (!long_form && !brief_form) continue;
    auto value = trimmed(line.substr(long_form ? name.size() : brief.size()));
    if (value.starts_with('=')) value = trimmed(value.substr(1));
    if (has_value == value.empty())
      throw Error(Code::invalid,
                  "the option " + std::string(name) + (has_value ? " needs a value" : " takes no value"));
    return Option{std::string(name), std::string(value)};
  }
  throw Error(Code::invalid,
              "the option '" + printable(line.substr(0, line.find_first_of(" \t="))) +
                  "' is not known in a requirements file",
              "leave it out, or set it for all in the agent's configuration");
}

class Reader {
 public:
  explicit Reader(const Files& files) : files_(files) {}

  void read(const std::string& file, bool as_constraints) {
    const auto found = files_.find(file);
    if (found == files_.end())
      throw Error(Code::invalid, "the file " + printable(file) + " was not sent with the requirements");
    if (!open_.insert(file).second)
      throw Error(Code::invalid, "the file " + printable(file) + " includes itself");
    const std::string_view text = found->second;
    std::size_t number = 0;
    for (std::size_t at = 0; at < text.size();) {
      const auto first = number + 1;
      const auto line = next_line(text, at, number);
      try {
        take(line, file, as_constraints);
      } catch (Error& failure) {
        failure.add_context("in " + printable(file) + ", line " + std::to_string(first));
        throw;
      }
    }
    open_.erase(file);
  }

  Requirements result;

 private:
  // With its continuation lines, without its comment.
  static std::string next_line(std::string_view text, std::size_t& at, std::size_t& number) {
    std::string whole;
    while (at < text.size()) {
      const auto end = std::min(text.find('\n', at), text.size());
      auto line = text.substr(at, end - at);
      at = end + 1;
      ++number;
      if (line.ends_with('\r')) line.remove_suffix(1);
      const bool continues = line.ends_with('\\');
      if (continues) line.remove_suffix(1);
      whole += line;
      // A comment ends with its own line.
      if (!continues || trimmed(line).starts_with('#')) break;
    }
    for (auto hash = whole.find('#'); hash != std::string::npos; hash = whole.find('#', hash + 1))
      if (hash == 0 || kBlank.find(whole[hash - 1]) != std::string_view::npos) {
        whole.resize(hash);
        break;
      }
    return std::string(trimmed(whole));
  }

  void take(const std::string& line, const std::string& file, bool as_constraints) {
    if (line.empty()) return;
    if (const auto variable = line.find("${"); variable != std::string::npos)
      throw Error(Code::invalid,
                  "'" + printable(line.substr(variable, line.find('}', variable) + 1 - variable)) +
                      "' is not set in a build",
                  "write the value, or put the index with its credentials into the agent's configuration");
    if (const auto option = option_of(line)) return take_option(*option, file, as_constraints);
    auto& list = as_constraints ? result.constraints : result.requirements;
    list.push_back(requirement(line));
  }

  std::string requirement(const std::string& line) {
    const auto options = std::min({line.find(" --"), line.find("\t--"), line.size()});
    auto text = canonical_requirement(line.substr(0, options), result.credentials);
    std::vector<std::string> hashes;
    std::string_view rest = trimmed(std::string_view(line).substr(options));
    while (!rest.empty()) {
      const auto end = std::min(rest.find_first_of(" \t"), rest.size());
      std::string word(rest.substr(0, end));
      rest = trimmed(rest.substr(end));
      if (word == "--hash") {  // the value is a word of its own
        const auto value_end = std::min(rest.find_first_of(" \t"), rest.size());
        word += "=" + std::string(rest.substr(0, value_end));
        rest = trimmed(rest.substr(value_end));
      }
      if (!word.starts_with("--hash="))
        throw Error(Code::invalid, "'" + printable(word) + "' is not known behind a requirement");
      hashes.push_back(word);
    }
    std::sort(hashes.begin(), hashes.end());
    for (const auto& hash : hashes) text += " " + hash;
    return text;
  }

  void take_option(const Option& option, const std::string& file, bool as_constraints) {
    const auto& [name, value] = option;
    auto& indexes = result.indexes;
    if (name == "--requirement" || name == "--constraint")
      return include(value, file, as_constraints || name == "--constraint");
    if (name == "--editable") refuse_local("-e " + value);
    if (name == "--index-url" || name == "--pypi-url")
      indexes.index_url = source(value);
    else if (name == "--extra-index-url")
      indexes.extra_index_urls.push_back(source(value));
    else if (name == "--find-links")
      indexes.find_links.push_back(source(value));
    else if (name == "--trusted-host")
      indexes.trusted_hosts.push_back(value);
    else if (name == "--no-index")
      indexes.no_index = true;
    else
      result.options.push_back(value.empty() ? name : name + "=" + value);
  }

  std::string source(const std::string& value) {
    if (!is_url(value) && !value.starts_with('/')) refuse_local(value);
    return without_credentials(value, result.credentials);
  }

  void include(const std::string& value, const std::string& file, bool as_constraints) {
    if (is_url(value))
      throw Error(Code::unsupported, "'" + printable(value) + "' is not fetched",
                  "save it beside the requirements file and include that");
    const auto path = (std::filesystem::path(file).parent_path() / value).lexically_normal().string();
    read(path, as_constraints);
  }

  const Files& files_;
  std::set<std::string> open_;
};

}  // namespace

Requirements read_requirements(const std::string& file, const Files& files) {
  Reader reader(files);
  reader.read(file, false);
  return std::move(reader.result);
}

}  // namespace berth::environment
