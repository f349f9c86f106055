#include "runtime/environment/user_text.hpp"

#include <algorithm>

#include "runtime/base/error.hpp"
#include "runtime/base/text.hpp"

namespace berth::environment {
namespace {

constexpr std::string_view kBlanks = " \t\r\n\f\v";

bool is_blank(char c) { return kBlanks.find(c) != std::string_view::npos; }
bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }

}  // namespace

void refuse(const Place& place, const std::string& why, const std::string& remedy) {
  throw Error(Code::invalid, printable(place.file) + ":" + std::to_string(place.line) + ": " + why, remedy);
}

bool is_alphanumeric(char c) { return (is_letter(c) && c != '_') || is_digit(c); }

std::string_view trimmed(std::string_view text) {
  const auto first = text.find_first_not_of(kBlanks);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kBlanks) - first + 1);
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

std::string lower_case(std::string_view text) {
  std::string lower(text);
  for (auto& c : lower)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return lower;
}

std::vector<std::string> words_of(std::string_view text) {
  std::vector<std::string> words;
  bool in_word = false;
  char quote = 0;
  for (const char c : text) {
    if (quote == 0 && is_blank(c)) {
      in_word = false;
      continue;
    }
    if (!in_word) words.emplace_back();
    in_word = true;
    if (quote == 0 && (c == '"' || c == '\'')) {
      quote = c;
    } else if (c == quote) {
      quote = 0;
    } else {
      words.back() += c;
    }
  }
  return words;
}

std::string_view without_comment(std::string_view text) {
  for (std::size_t at = 0; at < text.size(); ++at)
    if (text[at] == '#' && (at == 0 || is_blank(text[at - 1]))) return text.substr(0, at);
  return text;
}

std::optional<std::string> relative_to(std::string_view from, std::string_view name) {
  const auto slash = from.rfind('/');
  std::string whole(slash == std::string_view::npos ? "" : from.substr(0, slash + 1));
  whole += name;
  std::vector<std::string_view> parts;
  const std::string_view all = whole;
  for (std::size_t at = 0; at <= all.size();) {
    const auto end = std::min(all.find('/', at), all.size());
    const auto part = all.substr(at, end - at);
    at = end + 1;
    if (part.empty() || part == ".") continue;
    // What lies above the main file keeps its "..": the command line names such files so.
    if (part == ".." && !parts.empty() && parts.back() != "..") {
      parts.pop_back();
    } else {
      parts.push_back(part);
    }
  }
  if (parts.empty()) return std::nullopt;
  std::string path;
  for (const auto part : parts) path.append(path.empty() ? "" : "/").append(part);
  return path;
}

std::string variable_reference(std::string_view text) {
  for (auto at = text.find('$'); at != std::string_view::npos; at = text.find('$', at + 1)) {
    const bool braced = text.substr(at + 1, 1) == "{";
    auto end = at + 1 + (braced ? 1 : 0);
    const auto name = end;
    while (end < text.size() && (is_letter(text[end]) || is_digit(text[end]))) ++end;
    if (end == name || !is_letter(text[name])) continue;
    if (!braced) return std::string(text.substr(at, end - at));
    if (text.substr(end, 1) == "}") return std::string(text.substr(at, end + 1 - at));
  }
  return {};
}

std::string shell_quoted(std::string_view text) {
  std::string quoted = "'";
  for (const char c : text) quoted += c == '\'' ? std::string("'\"'\"'") : std::string(1, c);
  return quoted + "'";
}

}  // namespace berth::environment
