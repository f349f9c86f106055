#include "runtime/environment/conda_match_spec.hpp"

#include <algorithm>
#include <array>
#include <vector>

#include "runtime/base/text.hpp"
#include "runtime/environment/credentials.hpp"

namespace berth::environment::conda {
namespace {

constexpr std::size_t kLongest = 1024;
constexpr std::string_view kOperators = "<>=!~";
constexpr std::string_view kJoins = ",|";
constexpr const char* kForms = "write it as in 'numpy', 'python=3.11', 'numpy>=1.20,<2' or 'conda-forge::scipy=1.11'";

bool is_one_of(char c, std::string_view set) { return set.find(c) != std::string_view::npos; }

bool made_of(std::string_view text, std::string_view further) {
  return std::all_of(text.begin(), text.end(), [&](char c) { return is_alphanumeric(c) || is_one_of(c, further); });
}

bool is_subdir(std::string_view text) {
  return text == "noarch" || text.starts_with("linux-") || text.starts_with("osx-") || text.starts_with("win-");
}

// Reads one dependency; its members are what every error needs.
class Reader {
 public:
  Reader(std::string_view text, const Place& place) : whole_(text), place_(place) {}

  MatchSpec read() {
    auto rest = trimmed(without_comment(whole_));
    if (rest.empty()) fail("is empty", kForms);
    if (rest.size() > kLongest) fail("is longer than 1024 characters", kForms);
    if (rest.front() == '-') fail("is an option, not a package", "leave it out, or put it under 'pip:' if it is pip's");
    if (const auto reference = variable_reference(rest); !reference.empty())
      fail("uses the variable " + reference, "write what it stands for; environment files are read as they are");
    if (is_package_url(rest)) return package(rest);
    rest = take_brackets(rest);
    rest = take_channel(rest);
    take_name(rest);
    take_version(rest);
    settle();
    return spec_;
  }

 private:
  [[noreturn]] void fail(const std::string& why, const std::string& remedy) const {
    refuse(place_, "the dependency '" + printable(whole_.substr(0, 200)) + "' " + why, remedy);
  }

  static bool is_package_url(std::string_view text) {
    const bool package =
        text.find(".tar.bz2") != std::string_view::npos || text.find(".conda") != std::string_view::npos;
    return package && text.find("::") == std::string_view::npos && text.find('[') == std::string_view::npos &&
           text.find('/') != std::string_view::npos;
  }

  MatchSpec package(std::string_view url) const {
    if (!is_url(url))
      fail("is a file on the machine where it was written", "give a URL, or a package by name from a channel");
    if (has_credentials(url)) fail_for_credentials();
    const auto file = url.substr(url.rfind('/') + 1);
    const auto build = file.rfind('-');
    const auto version = build == std::string_view::npos ? build : file.rfind('-', build - 1);
    if (version == std::string_view::npos || version == 0 || !made_of(url, "-._~:/?#@!$&()*+,;=%"))
      fail("is not the URL of a conda package", "such a URL ends in name-version-build.conda");
    MatchSpec spec;
    spec.name = lower_case(file.substr(0, version));
    spec.url = url;
    return spec;
  }

  [[noreturn]] void fail_for_credentials() const {
    // The text is not told: the error may be stored and shown.
    refuse(place_, "a dependency has a user name, password or token in its URL",
           "give the channel a name in the node's configuration (its mirrors), where such URLs are kept");
  }

  std::string_view take_brackets(std::string_view text) {
    const auto open = text.find('[');
    if (open == std::string_view::npos) return text;
    if (text.back() != ']') fail("has text after its brackets, or brackets that are not closed", kForms);
    auto inside = text.substr(open + 1, text.size() - open - 2);
    while (!trimmed(inside).empty()) inside = take_pair(inside);
    return trimmed(text.substr(0, open));
  }

  // One key=value of the brackets; what follows the next comma.
  std::string_view take_pair(std::string_view text) {
    const auto equals = text.find('=');
    if (equals == std::string_view::npos) fail("has brackets that are not lists of key=value", kForms);
    const auto key = std::string(trimmed(text.substr(0, equals)));
    auto rest = text.substr(equals + 1);
    rest.remove_prefix(std::min(rest.find_first_not_of(" \t"), rest.size()));
    std::size_t end = 0;
    std::string_view value;
    if (!rest.empty() && (rest.front() == '\'' || rest.front() == '"')) {
      end = rest.find(rest.front(), 1);
      if (end == std::string_view::npos) fail("has a quote that is not closed", kForms);
      value = rest.substr(1, end - 1);
      ++end;
    } else {
      end = std::min(rest.find(','), rest.size());
      value = trimmed(rest.substr(0, end));
    }
    rest = rest.substr(end);
    rest.remove_prefix(std::min(rest.find_first_not_of(" \t"), rest.size()));
    if (!rest.empty() && rest.front() != ',') fail("has brackets that are not lists of key=value", kForms);
    keep_pair(key, std::string(trimmed(value)));
    return rest.empty() ? rest : rest.substr(1);
  }

  void keep_pair(const std::string& key, const std::string& value) {
    static constexpr std::array kFurther{"build_number",   "md5",     "sha256", "fn", "license", "license_family",
                                         "track_features", "features"};
    if (!made_of(value, "-._~:/?@!&*+,;=%<>|^$ ")) fail("has a strange character in its brackets", kForms);
    if (has_credentials(value)) fail_for_credentials();
    if (key == "version") {
      versions_.push_back(value);
    } else if (key == "build") {
      spec_.build = value;
    } else if (key == "channel") {
      set_channel(value);
    } else if (key == "subdir") {
      if (!is_subdir(value) || !made_of(value, "-"))
        fail("names no platform as its subdir", "write it as in subdir=linux-64");
      spec_.subdir = value;
    } else if (std::find(kFurther.begin(), kFurther.end(), key) != kFurther.end()) {
      spec_.further[key] = value;
    } else {
      fail("has the unknown key '" + printable(key) + "' in its brackets",
           "known keys: version, build, channel, subdir, build_number, md5, sha256, fn, license, "
           "license_family, "
           "track_features, features");
    }
  }

  std::string_view take_channel(std::string_view text) {
    const auto colons = text.rfind("::");
    if (colons == std::string_view::npos) return text;
    set_channel(std::string(trimmed(text.substr(0, colons))));
    return trimmed(text.substr(colons + 2));
  }

  void set_channel(const std::string& text) {
    if (text.empty() || !made_of(text, "-._~:/@%+")) fail("names no proper channel before its '::'", kForms);
    if (has_credentials(text)) fail_for_credentials();
    if (!is_url(text) && (text.front() == '.' || text.front() == '~'))
      fail("names a channel on the machine where it was written", "give the channel's name or URL");
    const auto slash = text.rfind('/');
    const bool with_subdir = slash != std::string::npos && is_subdir(text.substr(slash + 1));
    spec_.channel = with_subdir ? text.substr(0, slash) : text;
    if (with_subdir) spec_.subdir = text.substr(slash + 1);
  }

  void take_name(std::string_view& text) {
    const auto end = std::min(text.find_first_of("<>=!~ \t"), text.size());
    const auto name = text.substr(0, end);
    if (name.empty() || !made_of(name, "-._") || name.front() == '-' || name.front() == '.')
      fail("does not start with a package's name", kForms);
    spec_.name = lower_case(name);
    text.remove_prefix(end);
  }

  // Blanks count only between the version and the build: not beside an operator, a comma or a bar.
  static std::string squeezed(std::string_view text) {
    std::string tight;
    for (std::size_t at = 0; at < text.size(); ++at) {
      if (text[at] != ' ' && text[at] != '\t') {
        tight += text[at];
        continue;
      }
      const auto next = text.find_first_not_of(" \t", at);
      const bool before = tight.empty() || is_one_of(tight.back(), kOperators) || is_one_of(tight.back(), kJoins);
      const bool after =
          next == std::string_view::npos || is_one_of(text[next], kOperators) || is_one_of(text[next], kJoins);
      if (!before && !after && tight.back() != ' ') tight += ' ';
    }
    return tight;
  }

  // "=1.20=py38_0": where the '=' of the build is; npos for none.
  static std::size_t build_sign(std::string_view text) {
    const auto at = text.rfind('=');
    if (at == std::string_view::npos || at == 0 || at + 1 == text.size()) return std::string_view::npos;
    if (is_one_of(text[at - 1], kOperators) || is_one_of(text[at - 1], kJoins)) return std::string_view::npos;
    return text.substr(at + 1).find_first_of("-,|<>~") == std::string_view::npos ? at : std::string_view::npos;
  }

  void take_version(std::string_view text) {
    auto version = squeezed(text);
    if (version.empty()) return;
    if (version.size() > 1 && version.substr(version.size() - 1) == "=")
      fail("has an operator without a version", kForms);
    const auto space = version.find(' ');
    const auto sign = space == std::string::npos ? build_sign(version) : space;
    if (sign != std::string::npos) {
      spec_.build = version.substr(sign + 1);
      version.resize(sign);
    }
    versions_.push_back(version);
  }

  void settle() {
    if (versions_.size() > 1) fail("tells its version twice", kForms);
    if (!made_of(spec_.build, "_.*+^$|()") || spec_.build.find(' ') != std::string::npos)
      fail("has a strange build string '" + printable(spec_.build) + "'", kForms);
    if (spec_.build == "*") spec_.build.clear();
    if (versions_.empty()) return;
    const auto version = squeezed(versions_.front());
    if (version.empty()) fail("has an empty version in its brackets", kForms);
    if (!made_of(version, "<>=!~,|.*+_()-^$") || is_one_of(version.back(), kOperators) ||
        is_one_of(version.back(), kJoins))
      fail("has a version that cannot be read: '" + printable(version) + "'", kForms);
    if (has_stray_sign(version)) fail("has more than one '=' in its version", kForms);
    if (has_unknown_operator(version)) fail("has an operator that conda does not know, such as '==='", kForms);
    spec_.version = settled(version);
  }

  // "1=2": the sign of a version stands at its beginning.
  static bool has_stray_sign(std::string_view version) {
    for (std::size_t at = 1; at < version.size(); ++at)
      if (version[at] == '=' && !is_one_of(version[at - 1], kOperators) && !is_one_of(version[at - 1], kJoins))
        return true;
    return false;
  }

  // Three signs in a row.
  static bool has_unknown_operator(std::string_view version) {
    int signs = 0;
    for (const char c : version) {
      signs = is_one_of(c, kOperators) ? signs + 1 : 0;
      if (signs > 2) return true;
    }
    return false;
  }

  // A version without operator is exact; "=1.20" is any 1.20.x, but exact beside a build (conda's rule).
  std::string settled(const std::string& version) const {
    if (version == "*" || version == "=*" || version == "==*") return {};
    const bool joined = version.find_first_of(kJoins) != std::string::npos;
    const bool glob = version.find('*') != std::string::npos;
    if (joined) return version;
    if (!is_one_of(version.front(), kOperators)) return (glob ? "=" : "==") + version;
    const bool fuzzy = version.front() == '=' && version.substr(0, 2) != "==";
    return fuzzy && !glob && !spec_.build.empty() ? "=" + version : version;
  }

  std::string_view whole_;
  const Place& place_;
  MatchSpec spec_;
  std::vector<std::string> versions_;
};

// "=1.20" or "==1.20", with nothing joined to it: the version beside a build in "name=1.20=build".
std::string plain_version(const std::string& version) {
  if (version.find_first_of(kJoins) != std::string::npos) return {};
  if (version.starts_with("==")) return version.substr(2);
  return version.starts_with("=") ? version.substr(1) : "";
}

}  // namespace

std::string MatchSpec::text() const {
  if (!url.empty()) return url;
  const auto head = channel.empty() ? name : channel + (subdir.empty() ? "" : "/" + subdir) + "::" + name;
  const bool subdir_alone = channel.empty() && !subdir.empty();
  const bool with_operator = version.empty() || is_one_of(version.front(), kOperators);
  if (further.empty() && !subdir_alone) {
    if (build.empty() && with_operator) return head + version;
    if (const auto plain = plain_version(version); !build.empty() && !plain.empty())
      return head + "=" + plain + "=" + build;
  }
  auto pairs = further;
  if (!version.empty()) pairs["version"] = version;
  if (!build.empty()) pairs["build"] = build;
  if (subdir_alone) pairs["subdir"] = subdir;
  std::string brackets;
  for (const auto& [key, value] : pairs) brackets += (brackets.empty() ? "" : ",") + key + "='" + value + "'";
  return head + "[" + brackets + "]";
}

MatchSpec parse_match_spec(std::string_view text, const Place& place) { return Reader(text, place).read(); }

}  // namespace berth::environment::conda
