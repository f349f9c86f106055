#include "runtime/snapshot/ignore.hpp"

#include <algorithm>

namespace berth::snapshot {
namespace {

constexpr std::string_view kSpecial = "*?[\\";

// Spaces at the end count only behind a backslash.
std::string_view without_trailing_spaces(std::string_view line) {
  auto end = line.size();
  bool spaces = false;
  for (std::size_t i = 0; i < line.size(); ++i) {
    if (line[i] == ' ') {
      if (!spaces) end = i;
      spaces = true;
      continue;
    }
    spaces = false;
    if (line[i] == '\\' && ++i == line.size()) return line;
  }
  return spaces ? line.substr(0, end) : line;
}

}  // namespace

IgnoreRules IgnoreRules::parse(std::string_view content) {
  IgnoreRules rules;
  if (content.starts_with("\xEF\xBB\xBF")) content.remove_prefix(3);
  while (!content.empty()) {
    const auto newline = content.find('\n');
    auto line = content.substr(0, newline);
    content.remove_prefix(newline == std::string_view::npos ? content.size() : newline + 1);
    if (line.empty() || line.front() == '#') continue;
    if (line.back() == '\r') line.remove_suffix(1);
    if (auto pattern = parse_line(without_trailing_spaces(line.substr(0, line.find('\0')))))
      rules.patterns_.push_back(std::move(*pattern));
  }
  return rules;
}

std::optional<IgnoreRules::Pattern> IgnoreRules::parse_line(std::string_view line) {
  Pattern pattern;
  if (line.starts_with('!')) {
    pattern.negated = true;
    line.remove_prefix(1);
  }
  if (line.ends_with('/')) {
    pattern.directories_only = true;
    line.remove_suffix(1);
  }
  pattern.by_name = line.find('/') == std::string_view::npos;
  if (line.starts_with('/')) line.remove_prefix(1);
  if (line.empty()) return std::nullopt;

  const auto plain = std::min(line.find_first_of(kSpecial), line.size());
  if (plain == line.size()) {
    pattern.literal = line;
  } else if (pattern.by_name && line.front() == '*' && line.find_first_of(kSpecial, 1) == std::string_view::npos) {
    pattern.suffix = true;
    pattern.literal = line.substr(1);
  } else if (pattern.by_name) {
    pattern.rest.emplace(line, Wildcard::Slashes::ordinary);
  } else {
    pattern.literal = line.substr(0, plain);
    pattern.rest.emplace(line.substr(plain), Wildcard::Slashes::special);
  }
  return pattern;
}

bool IgnoreRules::matches(const Pattern& pattern, std::string_view path, std::string_view name) {
  const auto text = pattern.by_name ? name : path;
  if (pattern.suffix) return text.ends_with(pattern.literal);
  if (!pattern.rest) return text == pattern.literal;
  return text.starts_with(pattern.literal) && pattern.rest->matches(text.substr(pattern.literal.size()));
}

// The last pattern that matches decides.
IgnoreRules::Verdict IgnoreRules::verdict(std::string_view path, std::string_view name, bool is_directory) const {
  for (auto pattern = patterns_.rbegin(); pattern != patterns_.rend(); ++pattern) {
    if (pattern->directories_only && !is_directory) continue;
    if (matches(*pattern, path, name)) return pattern->negated ? Verdict::included : Verdict::ignored;
  }
  return Verdict::none;
}

}  // namespace berth::snapshot
