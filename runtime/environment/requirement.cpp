#include "runtime/environment/requirement.hpp"

#include <algorithm>
#include <array>
#include <set>
#include <utility>

#include "runtime/base/text.hpp"
#include "runtime/environment/credentials.hpp"

namespace berth::environment {
namespace {

constexpr std::string_view kBlanks = " \t";
constexpr std::string_view kOperators = "<>=!~";
constexpr const char* kWrite = "write it as in 'numpy', 'numpy==1.26.4' or 'torch>=2,<3 ; python_version < \"3.12\"'";

// How far the text begins with letters, digits and these.
std::size_t word_length(std::string_view text, std::string_view others) {
  const auto* end = std::find_if_not(text.begin(), text.end(),
                                     [&](char c) { return is_alphanumeric(c) || others.find(c) != others.npos; });
  return static_cast<std::size_t>(end - text.begin());
}

bool is_name(std::string_view text) {
  return !text.empty() && word_length(text, "-_.") == text.size() && is_alphanumeric(text.front()) &&
         is_alphanumeric(text.back());
}

// PEP 503: runs of '-', '_' and '.' are one '-'.
std::string normal_name(std::string_view name) {
  std::string normal;
  for (const char c : lower_case(name)) {
    const bool dash = !is_alphanumeric(c);
    if (!dash || !normal.ends_with('-')) normal += dash ? '-' : c;
  }
  return normal;
}

std::string joined(const std::set<std::string>& words) {
  std::string text;
  for (const auto& word : words) text.append(text.empty() ? "" : ",").append(word);
  return text;
}

// ">= 1.20" as ">=1.20"; "" for what is no version.
std::string version_clause(std::string_view text) {
  constexpr std::array<std::string_view, 8> kComparisons{"===", "~=", "==", "!=", "<=", ">=", "<", ">"};
  const auto comparison = text.substr(0, text.find_first_not_of(kOperators));
  const auto version = trimmed(text.substr(comparison.size()));
  const bool readable = std::find(kComparisons.begin(), kComparisons.end(), comparison) != kComparisons.end() &&
                        !version.empty() && is_alphanumeric(version.front()) &&
                        word_length(version, ".*+!-_") == version.size();
  return readable ? std::string(comparison).append(version) : "";
}

bool is_local(std::string_view text) {
  const auto word = lower_case(text.substr(0, text.find_first_of(" \t;")));
  if (word.starts_with("file:") || word.find("+file:") != word.npos || word.find('\\') != word.npos ||
      word.starts_with('.') || word.starts_with('~') || word.starts_with('/'))
    return true;
  const auto path = word.substr(0, word.find('@'));
  if (is_url(word) || path.find_first_of("<>=") != path.npos) return false;
  return path.find('/') != path.npos || path.ends_with(".whl") || path.ends_with(".tar.gz") || path.ends_with(".zip");
}

// One part of a marker: quoted text, a word, comparisons or a parenthesis; "" where there is none.
std::string_view marker_token(std::string_view text) {
  if (text.front() == '(' || text.front() == ')') return text.substr(0, 1);
  if (text.front() == '"' || text.front() == '\'') {
    const auto end = text.find(text.front(), 1);
    return end == text.npos ? "" : text.substr(0, end + 1);
  }
  if (kOperators.find(text.front()) != kOperators.npos) return text.substr(0, text.find_first_not_of(kOperators));
  return text.substr(0, word_length(text, "_."));
}

bool is_operand(std::string_view token) {
  return is_alphanumeric(token.front()) || std::string_view("\"'_.").find(token.front()) != token.npos;
}

bool is_spaced(std::string_view token) { return token == "and" || token == "or" || token == "in" || token == "not"; }

// In single quotes, where it can be.
std::string quoted(std::string_view token) {
  std::string text(token);
  if (text.front() == '"' && text.find('\'') == text.npos) text.front() = text.back() = '\'';
  return text;
}

// Reads one requirement; its members are what every error needs.
class Requirement {
 public:
  Requirement(std::string_view text, const Place& place) : text_(trimmed(text)), place_(place) {}

  // "name[extras] >=1 ; marker", "name @ URL ; marker" or "URL ; marker".
  std::string read() const {
    if (is_local(text_)) fail_local();
    if (is_url(text_)) return located(text_);
    const auto name = text_.substr(0, word_length(text_, "-_."));
    if (!is_name(name)) fail("cannot be read", kWrite);
    auto rest = trimmed(text_.substr(name.size()));
    const auto named = normal_name(name) + take_extras(rest);
    if (rest.starts_with('@')) return named + " @ " + located(trimmed(rest.substr(1)));
    const auto marker = std::min(rest.find(';'), rest.size());
    return named + versions_of(trimmed(rest.substr(0, marker))) + marker_of(rest.substr(marker));
  }

 private:
  [[noreturn]] void fail(const std::string& why, const std::string& remedy) const {
    refuse(place_, "the requirement '" + printable(text_.substr(0, 200)) + "' " + why, remedy);
  }

  [[noreturn]] void fail_local() const {
    fail("is a path on the machine where it was written",
         "put the package on an index or into the node's wheel directory; code of the job itself is imported "
         "from its working directory and needs no installing");
  }

  std::string take_extras(std::string_view& rest) const {
    if (!rest.starts_with('[')) return {};
    const auto close = rest.find(']');
    if (close == rest.npos) fail("has brackets that are not closed", kWrite);
    std::set<std::string> extras;
    for (const auto& extra : split(rest.substr(1, close - 1), ',')) {
      if (!is_name(extra)) fail("cannot be read: '" + printable(extra) + "' is no extra's name", kWrite);
      extras.insert(lower_case(extra));  // and no more: pip before 23.3 tells "a-b" from "a_b"
    }
    rest = trimmed(rest.substr(close + 1));
    return extras.empty() ? "" : std::string("[").append(joined(extras)).append("]");
  }

  std::string versions_of(std::string_view text) const {
    if (text.starts_with('(') && text.ends_with(')')) text = text.substr(1, text.size() - 2);
    std::set<std::string> clauses;
    for (const auto& part : split(text, ',')) {
      auto clause = version_clause(part);
      if (clause.empty()) fail("cannot be read: '" + printable(part) + "' is no version", kWrite);
      clauses.insert(std::move(clause));
    }
    return joined(clauses);
  }

  std::string located(std::string_view text) const {
    if (is_local(text)) fail_local();
    const auto url = text.substr(0, text.find_first_of(" \t;"));
    const auto rest = text.substr(url.size());
    if (!is_url(url)) fail("has no URL after its '@'", kWrite);
    if (rest.size() > 1 && rest[0] == ';' && kBlanks.find(rest[1]) == kBlanks.npos)
      fail("has a ';' within its URL", "write %3B for it, or a blank before a marker");
    return std::string(url) + marker_of(trimmed(rest));
  }

  // What follows a requirement: nothing, or a ';' with a marker.
  std::string marker_of(std::string_view rest) const {
    if (rest.empty()) return {};
    if (rest.front() != ';') fail("has something after its URL that is no marker", kWrite);
    std::string result;
    std::string_view former;
    for (rest = trimmed(rest.substr(1)); !rest.empty(); rest = trimmed(rest.substr(former.size()))) {
      const auto token = marker_token(rest);
      if (token.empty()) fail("has a marker that cannot be read", kWrite);
      const bool apart =
          is_spaced(token) || is_spaced(former) || (!former.empty() && is_operand(former) && is_operand(token));
      result.append(apart && !former.empty() ? " " : "").append(quoted(token));
      former = token;
    }
    if (result.empty()) fail("has no marker after its ';'", kWrite);
    return " ; " + result;
  }

  std::string_view text_;
  const Place& place_;
};

}  // namespace

std::string canonical_requirement(std::string_view text, const Place& place) { return Requirement(text, place).read(); }

}  // namespace berth::environment
