#include "runtime/snapshot/wildcard.hpp"

#include <array>
#include <cctype>
#include <string>

namespace berth::snapshot {
namespace {

using ClassTest = int (*)(int);
struct NamedClass {
  std::string_view name;
  ClassTest test;
};
constexpr std::array<NamedClass, 12> kClasses{{{"alnum", std::isalnum},
                                               {"alpha", std::isalpha},
                                               {"blank", std::isblank},
                                               {"cntrl", std::iscntrl},
                                               {"digit", std::isdigit},
                                               {"graph", std::isgraph},
                                               {"lower", std::islower},
                                               {"print", std::isprint},
                                               {"punct", std::ispunct},
                                               {"space", std::isspace},
                                               {"upper", std::isupper},
                                               {"xdigit", std::isxdigit}}};

bool add_class(std::bitset<256>& set, std::string_view name) {
  for (const auto& known : kClasses) {
    if (known.name != name) continue;
    for (int c = 0; c < 128; ++c)
      if (known.test(c) != 0) set.set(static_cast<std::size_t>(c));
    return true;
  }
  return false;
}

std::size_t index_of(char c) { return static_cast<unsigned char>(c); }

}  // namespace

Wildcard::Wildcard(std::string_view pattern, Slashes slashes) : slashes_(slashes) {
  for (std::size_t i = 0; i < pattern.size();) {
    const char c = pattern[i];
    if (c == '?') {
      tokens_.push_back({Op::any});
      ++i;
    } else if (c == '[') {
      i = parse_set(pattern, i);
    } else if (c == '\\') {
      // A backslash at the very end matches nothing.
      if (i + 1 == pattern.size())
        tokens_.push_back({Op::never});
      else
        tokens_.push_back({Op::literal, pattern[i + 1]});
      i += 2;
    } else if (c != '*') {
      tokens_.push_back({Op::literal, c});
      ++i;
    } else {
      const auto from = i;
      while (i < pattern.size() && pattern[i] == '*') ++i;
      ++stars_;
      const bool alone = (from == 0 || pattern[from - 1] == '/') &&
                         (i == pattern.size() || pattern[i] == '/' || pattern.substr(i, 2) == "\\/");
      if (slashes_ == Slashes::ordinary)
        tokens_.push_back({Op::star_star});
      else if (i - from == 1 || !alone)
        tokens_.push_back({Op::star});
      // "**/" may also stand for nothing, its slash included.
      else
        tokens_.push_back({i < pattern.size() && pattern[i] == '/' ? Op::star_slash : Op::star_star});
    }
  }
}

// From '[' to the character after its ']'; a set that never ends matches nothing.
std::size_t Wildcard::parse_set(std::string_view pattern, std::size_t i) {
  std::bitset<256> set;
  const auto at = [&](std::size_t k) { return k < pattern.size() ? pattern[k] : '\0'; };
  const auto never = [&] {
    tokens_.push_back({Op::never});
    return pattern.size();
  };
  ++i;
  const bool negated = at(i) == '!' || at(i) == '^';
  if (negated) ++i;
  char previous = '\0';
  bool first = true;
  for (; first || at(i) != ']'; ++i, first = false) {
    char c = at(i);
    if (c == '\0') return never();
    if (c == '-' && previous != '\0' && at(i + 1) != '\0' && at(i + 1) != ']') {
      c = at(++i);
      if (c == '\\') c = at(++i);
      if (c == '\0') return never();
      for (auto k = index_of(previous); k <= index_of(c); ++k) set.set(k);
      previous = '\0';
      continue;
    }
    if (c == '[' && at(i + 1) == ':') {
      const auto close = pattern.find(']', i + 2);
      if (close == std::string_view::npos) return never();
      if (close > i + 2 && pattern[close - 1] == ':') {
        if (!add_class(set, pattern.substr(i + 2, close - i - 3))) return never();
        i = close;
        previous = '\0';
        continue;
      }
    } else if (c == '\\') {
      c = at(++i);
      if (c == '\0') return never();
    }
    set.set(index_of(c));
    previous = c;
  }
  if (negated) set.flip();
  if (slashes_ == Slashes::special) set.reset(index_of('/'));
  tokens_.push_back({Op::set, 0, sets_.size()});
  sets_.push_back(set);
  return i + 1;
}

bool Wildcard::matches_one(const Token& token, char c) const {
  switch (token.op) {
    case Op::literal:
      return c == token.literal;
    case Op::any:
      return slashes_ == Slashes::ordinary || c != '/';
    case Op::set:
      return sets_[token.set].test(index_of(c));
    default:
      return false;
  }
}

// Row by row over the tokens: reach[k] says that the tokens so far can match the first k characters. Linear
// in tokens times characters, however many stars a pattern has.
bool Wildcard::matches(std::string_view text) const {
  std::vector<char> reach(text.size() + 1, 0);
  std::vector<char> next(text.size() + 1, 0);
  reach[0] = 1;
  bool skip_slash = false;  // the token before was "**/" standing for nothing
  std::vector<char> skipped;
  for (const auto& token : tokens_) {
    std::fill(next.begin(), next.end(), 0);
    if (token.op == Op::star || token.op == Op::star_star || token.op == Op::star_slash) {
      const bool across = token.op != Op::star;
      char open = 0;
      for (std::size_t k = 0; k <= text.size(); ++k) {
        if (k > 0 && !across && text[k - 1] == '/') open = 0;
        open = static_cast<char>(open | reach[k]);
        next[k] = open;
      }
      if (token.op == Op::star_slash) {
        skipped = reach;
        skip_slash = true;
        reach.swap(next);
        continue;
      }
    } else {
      for (std::size_t k = 0; k < text.size(); ++k) next[k + 1] = reach[k] && matches_one(token, text[k]) ? 1 : 0;
    }
    if (skip_slash) {
      for (std::size_t k = 0; k <= text.size(); ++k) next[k] = static_cast<char>(next[k] | skipped[k]);
      skip_slash = false;
    }
    reach.swap(next);
  }
  return reach[text.size()] != 0;
}

}  // namespace berth::snapshot
