#pragma once

// The rules of one .gitignore or .amlignore file, with git's semantics to the letter.

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/snapshot/wildcard.hpp"

namespace berth::snapshot {

class IgnoreRules {
 public:
  enum class Verdict { none, ignored, included };

  static IgnoreRules parse(std::string_view content);
  // `path` is relative to the directory that holds the file, `name` its last component.
  Verdict verdict(std::string_view path, std::string_view name, bool is_directory) const;

 private:
  struct Pattern {
    bool negated = false;
    bool directories_only = false;
    bool by_name = false;  // without a slash: matches the name at any depth
    bool suffix = false;   // by name, "*" and then `literal`
    std::string literal;   // what must stand first (for a suffix: last)
    std::optional<Wildcard> rest;
  };
  static std::optional<Pattern> parse_line(std::string_view line);
  static bool matches(const Pattern& pattern, std::string_view path, std::string_view name);

  std::vector<Pattern> patterns_;
};

}  // namespace berth::snapshot
