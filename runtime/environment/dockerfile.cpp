#include "runtime/environment/dockerfile.hpp"

#include <algorithm>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "runtime/environment/user_text.hpp"

namespace berth::environment {
namespace {

bool is_name(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_'; }

// Longer than any image's name. ARGs that are made of ARGs would double without end.
constexpr std::size_t kLongestValue = 4096;
constexpr int kDeepestValue = 16;  // ${A:-${B:-…}}

// The parser directive "# escape=`", which must stand before all else.
char escape_of(std::string_view text) {
  while (!text.empty()) {
    const auto line = trimmed(text.substr(0, text.find('\n')));
    if (!line.starts_with('#')) break;
    const auto equals = line.find('=');
    if (equals != std::string_view::npos && lower_case(trimmed(line.substr(1, equals - 1))) == "escape")
      return trimmed(line.substr(equals + 1)) == "`" ? '`' : '\\';
    text.remove_prefix(std::min(text.find('\n'), text.size() - 1) + 1);
  }
  return '\\';
}

// Instructions, each on one line, without comments.
std::vector<std::string> instructions_of(std::string_view text) {
  const char escape = escape_of(text);
  std::vector<std::string> instructions;
  std::string open;
  while (!text.empty()) {
    const auto end = text.find('\n');
    auto line = trimmed(text.substr(0, end));
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    if (line.empty() || line.starts_with('#')) continue;
    const bool goes_on = line.ends_with(escape);
    if (goes_on) line.remove_suffix(1);
    (open += line) += ' ';
    if (goes_on) continue;
    instructions.push_back(std::exchange(open, {}));
  }
  if (!open.empty()) instructions.push_back(open);
  return instructions;
}

class Reader {
 public:
  void read(const std::string& instruction) {
    auto words = words_of(instruction);
    if (words.empty()) return;
    const auto verb = lower_case(words.front());
    words.erase(words.begin());
    if (verb == "arg" && stages_.empty()) take_arguments(words);
    if (verb == "from") take_stage(words);
    if (verb == "copy") take_copy(words);
  }
  DockerfileImages finish() {
    if (!stages_.empty()) found_.base = stages_.back().base;
    return std::move(found_);
  }

 private:
  struct Stage {
    std::string name;  // lower case
    std::string base;  // an image
  };

  void take_arguments(const std::vector<std::string>& words) {
    for (const auto& word : words) {
      const auto equals = word.find('=');
      if (equals != std::string::npos) arguments_[word.substr(0, equals)] = expanded(word.substr(equals + 1));
    }
  }

  void take_stage(std::vector<std::string> words) {
    std::erase_if(words, [](const auto& word) { return word.starts_with("--"); });
    if (words.empty()) return;
    const auto image = expanded(words[0]);
    Stage stage;
    if (const auto* earlier = find(image))
      stage.base = earlier->base;
    else if (image != "scratch")
      stage.base = image;
    if (words.size() >= 3 && lower_case(words[1]) == "as") stage.name = lower_case(words[2]);
    if (!stage.base.empty()) found_.all.insert(stage.base);
    stages_.push_back(std::move(stage));
  }

  void take_copy(const std::vector<std::string>& words) {
    constexpr std::string_view kFrom = "--from=";
    for (const auto& word : words) {
      if (!word.starts_with(kFrom)) continue;
      const auto image = expanded(word.substr(kFrom.size()));
      const bool number = !image.empty() && image.find_first_not_of("0123456789") == std::string::npos;
      if (!number && !image.empty() && find(image) == nullptr) found_.all.insert(image);
    }
  }

  const Stage* find(const std::string& name) const {
    const auto wanted = lower_case(name);
    const auto found = std::find_if(stages_.begin(), stages_.end(), [&](const auto& s) { return s.name == wanted; });
    return found == stages_.end() || wanted.empty() ? nullptr : &*found;
  }

  static std::size_t closing_brace(std::string_view text, std::size_t from) {
    int open = 1;
    for (auto at = from; at < text.size(); ++at) {
      open += text[at] == '{' ? 1 : text[at] == '}' ? -1 : 0;
      if (open == 0) return at;
    }
    return text.size();
  }

  // What stands after the name within braces: "", ":-otherwise", ":+instead", both also without the colon.
  std::string chosen(const std::string& value, std::string_view rest, int depth) const {
    if (rest.starts_with(':')) rest.remove_prefix(1);
    const char how = rest.empty() ? '\0' : rest.front();
    if (how == '+') return value.empty() ? std::string() : expanded(rest.substr(1), depth + 1);
    return value.empty() && how == '-' ? expanded(rest.substr(1), depth + 1) : value;
  }

  // $NAME, ${NAME}, ${NAME:-default} and ${NAME:+instead} of the ARGs before the first stage; "" for what
  // comes out too long or is nested too deep.
  std::string expanded(std::string_view text, int depth = 0) const {
    if (depth > kDeepestValue) return {};
    std::string out;
    for (std::size_t i = 0; i < text.size();) {
      if (text[i] != '$') {
        out += text[i++];
        continue;
      }
      const bool braced = i + 1 < text.size() && text[i + 1] == '{';
      const auto begin = i + (braced ? 2 : 1);
      auto end = begin;
      while (end < text.size() && is_name(text[end])) ++end;
      const std::string name(text.substr(begin, end - begin));
      const auto close = braced ? closing_brace(text, end) : end;
      const auto value = arguments_.find(name);
      out += chosen(value == arguments_.end() ? std::string() : value->second, text.substr(end, close - end), depth);
      i = braced ? std::min(close + 1, text.size()) : end;
    }
    return out.size() > kLongestValue ? std::string() : out;
  }

  DockerfileImages found_;
  std::vector<Stage> stages_;
  std::map<std::string, std::string> arguments_;
};

}  // namespace

DockerfileImages images_of_dockerfile(std::string_view text) {
  Reader reader;
  for (const auto& instruction : instructions_of(text)) reader.read(instruction);
  return reader.finish();
}

}  // namespace berth::environment
