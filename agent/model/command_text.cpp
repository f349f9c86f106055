#include "agent/model/command_text.hpp"

#include <string_view>

#include "runtime/base/text.hpp"

namespace berth::model {
namespace {

bool needs_quotes(std::string_view word) {
  constexpr std::string_view kPlain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_@%+=:,./-";
  return word.empty() || word.find_first_not_of(kPlain) != std::string_view::npos;
}

std::string quoted(std::string_view word) {
  if (!needs_quotes(word)) return std::string(word);
  std::string text = "'";
  for (const char c : word) {
    if (c == '\'')
      text += "'\\''";
    else
      text += c;
  }
  return text + "'";
}

}  // namespace

std::string command_text(const std::vector<std::string>& command, std::size_t most) {
  std::string text;
  for (const auto& word : command) {
    if (text.size() > most) break;
    if (!text.empty()) text += ' ';
    // A byte more than fits tells that something was cut.
    text += quoted(std::string_view(word).substr(0, most == std::string::npos ? most : most + 1));
  }
  return shortened(printable(text), most);
}

}  // namespace berth::model
