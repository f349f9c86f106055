#pragma once

// The wildcard language of .gitignore files: ? * ** [set] [[:class:]] and backslash.

#include <bitset>
#include <cstddef>
#include <string_view>
#include <vector>

namespace berth::snapshot {

class Wildcard {
 public:
  // Whether a single star and ? stop at '/', as in a pattern that is matched against a path.
  enum class Slashes { ordinary, special };

  Wildcard(std::string_view pattern, Slashes slashes);
  bool matches(std::string_view text) const;

 private:
  enum class Op { literal, any, set, star, star_slash, star_star, never };
  struct Token {
    Op op;
    char literal = 0;
    std::size_t set = 0;
  };
  std::size_t parse_set(std::string_view pattern, std::size_t i);
  bool matches_one(const Token& token, char c) const;

  Slashes slashes_;
  std::vector<Token> tokens_;
  std::vector<std::bitset<256>> sets_;
  std::size_t stars_ = 0;
};

}  // namespace berth::snapshot
