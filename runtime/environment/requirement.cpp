#include "runtime/environment/requirement.hpp"

#include <algorithm>
#include <array>
#include <cctype>

#include "runtime/base/error.hpp"
#include "runtime/base/text.hpp"

namespace berth::environment {
namespace {

constexpr std::string_view kBlank = " \t\r\f";

bool is_name_character(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '-' || c == '_' || c == '.';
}

// PEP 503.
std::string canonical_name(std::string_view name) {
  std::string result;
  for (const char c : name) {
    const bool separator = c == '-' || c == '_' || c == '.';
    if (separator && result.ends_with('-')) continue;
    result += separator ? '-' : static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  }
  return result;
}

std::string joined(std::vector<std::string> parts, std::string_view separator) {
  std::sort(parts.begin(), parts.end());
  std::string text;
  for (const auto& part : parts) {
    if (!text.empty()) text += separator;
    text += part;
  }
  return text;
}

// Without white space but inside of quotes, which become single ones; "and", "or", "in" and "not" keep
// theirs.
std::string canonical_marker(std::string_view marker) {
  std::string result;
  char quote = 0;
  bool blank = false;
  for (const char c : marker) {
    if (quote == 0 && kBlank.find(c) != std::string_view::npos) {
      blank = true;
      continue;
    }
    const bool between_words = !result.empty() && is_name_character(result.back()) && is_name_character(c);
    const bool beside_quote = !result.empty() && (is_name_character(c) != is_name_character(result.back())) &&
                              (result.back() == '\'' || c == '\'' || c == '"') && quote == 0;
    if (blank && (between_words || beside_quote)) result += ' ';
    blank = false;
    if (c == quote)
      quote = 0;
    else if (quote == 0 && (c == '\'' || c == '"'))
      quote = c;
    result += c == '"' ? '\'' : c;
  }
  return result;
}

bool is_comparison(std::string_view text) {
  constexpr std::array<std::string_view, 8> kAll{"===", "~=", "==", "!=", "<=", ">=", "<", ">"};
  return std::find(kAll.begin(), kAll.end(), text) != kAll.end();
}

std::string canonical_specifiers(std::string_view text) {
  text = trimmed(text);
  if (text.starts_with('(') && text.ends_with(')')) text = text.substr(1, text.size() - 2);
  auto clauses = split(text, ',');
  for (auto& clause : clauses) {
    const auto version = clause.find_first_not_of("<>=!~");
    const auto number = version == std::string::npos ? "" : trimmed(std::string_view(clause).substr(version));
    if (!is_comparison(clause.substr(0, version)) || number.empty() ||
        number.find_first_of(" \t<>=") != std::string_view::npos)
      throw Error(Code::invalid, "'" + printable(clause) + "' is no version");
    clause = clause.substr(0, version) + std::string(number);
  }
  return joined(std::move(clauses), ",");
}

void check_url(std::string_view url) {
  if (url.starts_with("file:") || url.starts_with("git+file:")) refuse_local(url);
}

// A direct reference without a name: a URL, or else something local.
std::string canonical_reference(std::string_view text, std::vector<Credential>& credentials) {
  if (!is_url(text)) refuse_local(text);
  check_url(text);
  return without_credentials(std::string(text), credentials);
}

bool looks_local(std::string_view text) {
  return text.starts_with('.') || text.starts_with('/') || text.starts_with('~') ||
         text.starts_with("file:") || text.ends_with(".whl") || text.ends_with(".tar.gz") ||
         text.ends_with(".zip");
}

std::string percent_decoded(const std::string& text) {
  std::string result;
  for (std::size_t at = 0; at < text.size(); ++at) {
    const auto hex = text.substr(at + 1, 2);
    const bool coded =
        text[at] == '%' && hex.size() == 2 &&
        std::all_of(hex.begin(), hex.end(), [](unsigned char c) { return std::isxdigit(c) != 0; });
    result += coded ? static_cast<char>(std::stoi(hex, nullptr, 16)) : text[at];
    if (coded) at += 2;
  }
  return result;
}

}  // namespace

std::string_view trimmed(std::string_view text) {
  const auto first = text.find_first_not_of(kBlank);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kBlank) + 1 - first);
}

bool is_url(std::string_view text) {
  return text.find("://") != std::string_view::npos;
}

void refuse_local(std::string_view what) {
  throw Error(
      Code::invalid,
      "'" + printable(what) + "' is on your own machine, and an environment is built elsewhere",
      "put the code in the job's own directory, or offer a wheel through an index or a wheel directory");
}

std::vector<std::string> split(std::string_view text, char separator) {
  std::vector<std::string> parts;
  for (;;) {
    const auto end = std::min(text.find(separator), text.size());
    if (const auto part = trimmed(text.substr(0, end)); !part.empty()) parts.emplace_back(part);
    if (end == text.size()) return parts;
    text.remove_prefix(end + 1);
  }
}

std::string without_credentials(const std::string& url, std::vector<Credential>& credentials) {
  const auto scheme = url.find("://");
  if (scheme == std::string::npos) return url;
  const auto begin = scheme + 3;
  const auto end = std::min(url.find_first_of("/?#", begin), url.size());
  const auto at = url.rfind('@', end);
  // A ref of a repository is behind an @ too, but after the path has begun.
  if (at == std::string::npos || at < begin || at >= end) return url;
  const auto user = url.substr(begin, at - begin);
  auto host = url.substr(at + 1, end - at - 1);
  const auto colon = user.find(':');
  // "git" alone is whom one logs in as over ssh, and no secret.
  if (url.substr(0, scheme).ends_with("ssh") && colon == std::string::npos) return url;
  Credential credential{host.substr(0, host.find(':')), user.substr(0, colon),
                        colon == std::string::npos ? "" : user.substr(colon + 1)};
  if (std::find(credentials.begin(), credentials.end(), credential) == credentials.end())
    credentials.push_back(std::move(credential));
  return url.substr(0, begin) + url.substr(at + 1);
}

std::string netrc_of(const std::vector<Credential>& credentials) {
  std::string text;
  for (const auto& [host, login, password] : credentials) {
    // A token may stand for either.
    const auto name = percent_decoded(login);
    const auto secret = percent_decoded(password);
    for (const auto& word : {host, name, secret})
      if (word.find_first_of(" \t\r\n\"\\") != std::string::npos)
        throw Error(Code::invalid,
                    "the credentials for " + printable(host) + " hold a character that cannot be passed on");
    text += "machine " + host + " login " + (name.empty() ? "token" : name) + " password " +
            (secret.empty() ? "x-oauth-basic" : secret) + "\n";
  }
  return text;
}

std::string canonical_requirement(const std::string& text, std::vector<Credential>& credentials) {
  std::string_view rest = trimmed(text);
  std::size_t length = 0;
  while (length < rest.size() && is_name_character(rest[length])) ++length;
  const auto name = rest.substr(0, length);
  const auto after = trimmed(rest.substr(length));
  if (looks_local(rest) && !is_url(rest)) refuse_local(rest);
  if (name.empty() || after.starts_with('/') || after.starts_with(':') || after.starts_with('+'))
    return canonical_reference(rest, credentials);

  auto result = canonical_name(name);
  rest = after;
  if (rest.starts_with('[')) {
    const auto end = rest.find(']');
    if (end == std::string_view::npos) throw Error(Code::invalid, "a ] is missing");
    auto extras = split(rest.substr(1, end - 1), ',');
    for (auto& extra : extras) extra = canonical_name(extra);
    result += "[" + joined(std::move(extras), ",") + "]";
    rest = trimmed(rest.substr(end + 1));
  }
  if (rest.starts_with('@')) {
    rest = trimmed(rest.substr(1));
    const auto end = std::min({rest.find(" ;"), rest.find("\t;"), rest.size()});
    result += " @ " + canonical_reference(trimmed(rest.substr(0, end)), credentials);
    rest = trimmed(rest.substr(end));
    return rest.empty() ? result : result + " ; " + canonical_marker(rest.substr(1));
  }
  const auto marker = std::min(rest.find(';'), rest.size());
  result += canonical_specifiers(rest.substr(0, marker));
  rest = rest.substr(marker);
  return rest.empty() ? result : result + ";" + canonical_marker(rest.substr(1));
}

}  // namespace berth::environment
