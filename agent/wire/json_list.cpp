#include "agent/wire/json_list.hpp"

#include <algorithm>
#include <string>

namespace berth::wire {
namespace {

constexpr std::string_view kSpace = " \t\r\n";

class Scanner {
 public:
  explicit Scanner(std::string_view text) : rest_(text) {}

  bool take(char wanted) {
    skip_space();
    if (!rest_.starts_with(wanted)) return false;
    rest_.remove_prefix(1);
    return true;
  }

  bool take(std::string_view wanted) {
    skip_space();
    if (!rest_.starts_with(wanted)) return false;
    rest_.remove_prefix(wanted.size());
    return true;
  }

  bool at_end() {
    skip_space();
    return rest_.empty();
  }

  // Up to the comma or bracket behind it; empty where that does not come.
  std::string_view element() {
    skip_space();
    std::size_t depth = 0;
    for (std::size_t at = 0; at < rest_.size(); ++at) {
      const char c = rest_[at];
      if (c == '"') {
        at = end_of_string(at);
      } else if (c == '[' || c == '{') {
        ++depth;
      } else if (depth == 0 && (c == ',' || c == ']')) {
        const auto found = rest_.substr(0, at);
        rest_.remove_prefix(at);
        return found;
      } else if (c == ']' || c == '}') {
        if (depth == 0) return {};
        --depth;
      }
    }
    return {};
  }

 private:
  void skip_space() { rest_.remove_prefix(std::min(rest_.find_first_not_of(kSpace), rest_.size())); }

  std::size_t end_of_string(std::size_t at) const {
    for (++at; at < rest_.size() && rest_[at] != '"'; ++at)
      if (rest_[at] == '\\') ++at;
    return at;
  }

  std::string_view rest_;
};

}  // namespace

std::optional<std::vector<std::string_view>> elements_of(std::string_view text, std::string_view key,
                                                         std::size_t most) {
  Scanner scanner(text);
  if (!scanner.take('{') || !scanner.take('"' + std::string(key) + '"') || !scanner.take(':') || !scanner.take('['))
    return std::nullopt;
  std::vector<std::string_view> elements;
  do {
    const auto element = scanner.element();
    if (element.empty()) return std::nullopt;
    elements.push_back(element);
    if (elements.size() > most) return elements;
  } while (scanner.take(','));
  if (!scanner.take(']') || !scanner.take('}') || !scanner.at_end()) return std::nullopt;
  return elements;
}

}  // namespace berth::wire
