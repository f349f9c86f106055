#include "runtime/docker/ignore.hpp"

#include <algorithm>
#include <optional>

#include "runtime/base/error.hpp"
#include "runtime/base/text.hpp"

namespace berth::docker {
namespace {

constexpr std::size_t kNone = std::string_view::npos;

std::string_view trimmed(std::string_view text) {
  const auto first = text.find_first_not_of(" \t\r");
  if (first == kNone) return {};
  return text.substr(first, text.find_last_not_of(" \t\r") - first + 1);
}

// As Go's filepath.Clean, without a slash at either end: "./a//b/../c/" → "a/c".
std::string cleaned(std::string_view text) {
  std::vector<std::string_view> parts;
  for (std::size_t at = 0; at <= text.size();) {
    const auto end = std::min(text.find('/', at), text.size());
    const auto part = text.substr(at, end - at);
    if (part == ".." && !parts.empty())
      parts.pop_back();
    else if (!part.empty() && part != "." && part != "..")
      parts.push_back(part);
    at = end + 1;
  }
  std::string path;
  for (const auto part : parts) (path += path.empty() ? "" : "/") += part;
  return path;
}

// Where the set that begins at `at` ends: after its bracket.
std::size_t end_of_set(std::string_view pattern, std::size_t at) {
  std::size_t i = at + 1;
  if (i < pattern.size() && pattern[i] == '^') ++i;
  for (bool first = true; i < pattern.size(); ++i, first = false) {
    if (pattern[i] == ']' && !first) return i + 1;
    if (pattern[i] == '\\') ++i;
  }
  return kNone;
}

bool in_set(std::string_view set, char c) {  // without its brackets
  const bool negated = set.starts_with('^');
  if (negated) set.remove_prefix(1);
  bool found = false;
  for (std::size_t i = 0; i < set.size(); ++i) {
    if (set[i] == '\\' && i + 1 < set.size()) ++i;
    const char low = set[i];
    char high = low;
    if (i + 2 < set.size() && set[i + 1] == '-') {
      i += 2;
      if (set[i] == '\\' && i + 1 < set.size()) ++i;
      high = set[i];
    }
    found = found || (low <= c && c <= high);
  }
  return found != negated;
}

// Which prefixes of the path the pattern so far can stand for.
using Reached = std::vector<bool>;

Reached after_star(const Reached& before, std::string_view path) {
  auto after = before;
  for (std::size_t i = 0; i < path.size(); ++i)
    if (after[i] && path[i] != '/') after[i + 1] = true;
  return after;
}

// "**": anything at the end of a pattern; before a slash, whole directories.
Reached after_stars(const Reached& before, std::string_view path, bool directories) {
  auto after = before;
  bool any = false;
  for (std::size_t i = 0; i <= path.size(); ++i) {
    if (any && (!directories || path[i - 1] == '/')) after[i] = true;
    any = any || before[i];
  }
  return after;
}

template <class Accepts>
Reached after_letter(const Reached& before, std::string_view path, Accepts accepts) {
  Reached after(before.size(), false);
  for (std::size_t i = 0; i < path.size(); ++i)
    if (before[i] && accepts(path[i])) after[i + 1] = true;
  return after;
}

bool is_any(const Reached& reached) { return std::find(reached.begin(), reached.end(), true) != reached.end(); }

// Which prefixes of the path the whole pattern stands for: each is tested by going through the path once.
Reached reached_by(std::string_view pattern, std::string_view path) {
  Reached reached(path.size() + 1, false);
  reached[0] = true;
  for (std::size_t i = 0; i < pattern.size() && is_any(reached);) {
    if (pattern.substr(i).starts_with("**")) {
      i += 2;
      const bool directories = i < pattern.size();
      if (directories && pattern[i] == '/') ++i;
      reached = after_stars(reached, path, directories);
    } else if (pattern[i] == '*') {
      ++i;
      reached = after_star(reached, path);
    } else if (pattern[i] == '?') {
      ++i;
      reached = after_letter(reached, path, [](char c) { return c != '/'; });
    } else if (pattern[i] == '[') {
      const auto end = end_of_set(pattern, i);
      if (end == kNone) return Reached(reached.size(), false);
      const auto set = pattern.substr(i + 1, end - i - 2);
      reached = after_letter(reached, path, [&](char c) { return c != '/' && in_set(set, c); });
      i = end;
    } else {
      if (pattern[i] == '\\' && i + 1 < pattern.size()) ++i;
      reached = after_letter(reached, path, [wanted = pattern[i]](char c) { return c == wanted; });
      ++i;
    }
  }
  return reached;
}

// The path, or a directory that it is in.
bool matches_some_directory(std::string_view pattern, std::string_view path) {
  const auto reached = reached_by(pattern, path);
  for (std::size_t end = 0; end <= path.size(); ++end)
    if (reached[end] && (end == path.size() || path[end] == '/')) return true;
  return false;
}

}  // namespace

bool matches_path(std::string_view pattern, std::string_view path) { return reached_by(pattern, path).back(); }

IgnoreFile IgnoreFile::parse(std::string_view content) {
  IgnoreFile file;
  if (content.starts_with("\xEF\xBB\xBF")) content.remove_prefix(3);
  std::size_t number = 0;
  while (!content.empty()) {
    const auto end = std::min(content.find('\n'), content.size());
    auto line = content.substr(0, end);
    content.remove_prefix(std::min(end + 1, content.size()));
    ++number;
    if (line.starts_with('#')) continue;
    line = trimmed(line);
    const bool negated = line.starts_with('!');
    if (negated) line = trimmed(line.substr(1));
    auto text = cleaned(line);
    if (text.empty()) continue;
    for (std::size_t i = 0; i < text.size(); ++i) {
      if (text[i] == '[' && end_of_set(text, i) == kNone)
        throw Error(Code::invalid,
                    ".dockerignore line " + std::to_string(number) + ": a [set] does not end: " + printable(text));
      if (text[i] == '\\') ++i;
    }
    file.takes_back_ = file.takes_back_ || negated;
    file.patterns_.push_back({std::move(text), negated});
  }
  return file;
}

bool IgnoreFile::ignores(std::string_view path) const {
  bool ignored = false;
  for (const auto& pattern : patterns_) {
    if (pattern.negated != ignored) continue;  // it could not change anything
    if (matches_some_directory(pattern.text, path)) ignored = !pattern.negated;
  }
  return ignored;
}

}  // namespace berth::docker
