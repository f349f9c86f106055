#include "runtime/docker/registry_auth.hpp"

#include <algorithm>

namespace berth::docker {
namespace {

std::string lower(std::string_view text) {
  std::string result(text);
  std::ranges::transform(result, result.begin(),
                         [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  return result;
}

void skip(std::string_view& text, std::string_view letters) {
  text.remove_prefix(std::min(text.find_first_not_of(letters), text.size()));
}

std::string_view take_until(std::string_view& text, std::string_view letters) {
  const auto word = text.substr(0, text.find_first_of(letters));
  text.remove_prefix(word.size());
  return word;
}

// "…" with backslashes, or a bare word; nothing for a quotation without end.
std::optional<std::string> take_value(std::string_view& text) {
  if (!text.starts_with('"')) return std::string(take_until(text, ", \t"));
  std::string value;
  for (std::size_t i = 1; i < text.size(); ++i) {
    if (text[i] == '"') {
      text.remove_prefix(i + 1);
      return value;
    }
    if (text[i] == '\\' && i + 1 < text.size()) ++i;
    value += text[i];
  }
  return std::nullopt;
}

}  // namespace

std::optional<Challenge> parse_challenge(std::string_view field) {
  skip(field, " \t");
  Challenge challenge;
  challenge.scheme = lower(take_until(field, " \t,="));
  if (challenge.scheme.empty()) return std::nullopt;
  while (true) {
    skip(field, " \t,");
    const auto name = take_until(field, "= \t,");
    if (name.empty() || !field.starts_with('=')) break;  // the end, or another challenge
    field.remove_prefix(1);
    auto value = take_value(field);
    if (!value) return std::nullopt;
    challenge.parameters.emplace(lower(name), std::move(*value));
  }
  return challenge;
}

}  // namespace berth::docker
