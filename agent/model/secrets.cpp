#include "agent/model/secrets.hpp"

#include <algorithm>
#include <functional>
#include <set>

#include "runtime/base/percent.hpp"
#include "runtime/base/url_credentials.hpp"

namespace berth::model {
namespace {

constexpr std::string_view kOfEnvironment = "/environment/";

bool is_upper(char c) { return c >= 'A' && c <= 'Z'; }
bool is_lower(char c) { return c >= 'a' && c <= 'z'; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }

// --- assignments within a text

bool in_name(char c) { return is_upper(c) || is_lower(c) || is_digit(c) || c == '_' || c == '-' || c == '.'; }

// One of "NAME=value", as offsets of the value; the value ends where the quote around it or the word does.
struct Assignment {
  std::string_view name;
  std::size_t begin = 0;
  std::size_t end = 0;
};

std::size_t value_end(std::string_view text, std::size_t begin, char quote) {
  for (auto at = begin; at < text.size(); ++at) {
    const char c = text[at];
    if (quote != '\'' && c == '\\') {
      ++at;
    } else if (quote != 0) {
      if (c == quote) return at;
    } else if (c == ' ' || c == '\t' || c == '\n' || c == ';' || c == '&') {
      return at;
    }
  }
  return text.size();
}

Assignment assignment_at(std::string_view text, std::size_t equals) {
  auto name = equals;
  while (name > 0 && in_name(text[name - 1])) --name;
  const char before = name > 0 ? text[name - 1] : ' ';
  const char after = equals + 1 < text.size() ? text[equals + 1] : ' ';
  const bool quoted_whole = before == '"' || before == '\'';
  const bool quoted_value = after == '"' || after == '\'';
  const auto begin = equals + 1 + (!quoted_whole && quoted_value ? 1U : 0U);
  const char quote = quoted_whole ? before : quoted_value ? after : '\0';
  const auto named = text.substr(name, equals - name);
  return {named, begin, names_secret(named) ? value_end(text, begin, quote) : begin};
}

// Of those to secrets' names; what is within a value is part of it, so that this is linear whatever the text.
void for_each_assignment(std::string_view text, const std::function<void(const Assignment&)>& tell) {
  for (auto equals = text.find('='); equals != std::string_view::npos;) {
    const auto found = assignment_at(text, equals);
    if (found.end > found.begin && !only_counts(found.name, text.substr(found.begin, found.end - found.begin)))
      tell(found);
    equals = text.find('=', std::max(equals + 1, found.end));
  }
}

// --- logins that a blank or the like cuts in two

// "https://me:pa ss@host" → "https://host"; tells what is left out. A port may be a variable ("tcp://$HOST:$PORT"), so
// only what an '@' follows on its line is one.
std::string without_broken_logins(std::string_view text, const std::function<void(std::string_view)>& tell) {
  std::string plain;
  std::size_t copied = 0;
  while (copied < text.size()) {
    const auto slashes = text.find("://", copied);
    if (slashes == std::string_view::npos) break;
    const auto begin = slashes + 3;
    plain += text.substr(copied, begin - copied);
    copied = begin;
    auto rest = text.substr(begin, text.find("://", begin) - begin);  // up to the next one, of which it is no part
    rest = rest.substr(0, rest.find('\n'));
    const auto word = rest.substr(0, rest.find_first_of(" \t"));
    const auto at = rest.rfind('@');
    if (at == std::string_view::npos || at < word.size() || !has_broken_login("://" + std::string(word))) continue;
    tell(text.substr(begin, at));
    copied = begin + at + 1;
  }
  return plain += text.substr(copied);
}

}  // namespace

std::string without_url_secrets(std::string_view text) {
  if (text.find("://") == std::string_view::npos) return std::string(text);
  return without_broken_logins(without_credentials(text), [](std::string_view) {});
}

bool is_secret(std::string_view name, std::string_view value) {
  if (value.empty()) return false;
  if (names_secret(name) && !only_counts(name, value)) return true;
  if (without_url_secrets(value) != value) return true;
  bool any = false;
  for_each_assignment(value, [&](const Assignment&) { any = true; });
  return any;
}

std::string without_assigned_secrets(std::string_view text) {
  std::string plain;
  std::size_t copied = 0;
  for_each_assignment(text, [&](const Assignment& found) {
    (plain += text.substr(copied, found.begin - copied)) += "***";
    copied = found.end;
  });
  return plain += text.substr(copied);
}

bool has_secrets(const JobRequest& request) {
  return !request.secrets.empty() || !request.hidden.empty() || !request.container.registries.empty();
}

std::vector<std::string> values_to_mask(const JobSecrets& secrets) {
  std::set<std::string> values;
  const auto add_value = [&](std::string value) {
    if (value.empty()) return;
    values.insert(percent_decoded(value));
    values.insert(std::move(value));
  };
  const auto take_urls = [&](const std::string& text) {
    for (auto& secret : secrets_in_urls(text)) add_value(std::move(secret));
    without_broken_logins(text,
                          [&](std::string_view login) { add_value(std::string(login.substr(login.find(':') + 1))); });
  };
  const auto take_assignments = [&](const std::string& text) {
    for_each_assignment(text,
                        [&](const Assignment& found) { add_value(text.substr(found.begin, found.end - found.begin)); });
  };
  for (const auto& [name, value] : secrets.values) {
    add_value(value);
    take_urls(value);
    take_assignments(value);
  }
  for (const auto& [pointer, text] : secrets.texts) {
    take_urls(text);
    if (pointer == kDockerArgsText) take_assignments(text);
  }
  for (const auto& registry : secrets.registries)
    for (const auto& part : {registry.password, registry.identity_token}) add_value(part);
  return {values.begin(), values.end()};
}

std::size_t bytes_of(const std::vector<std::string>& values) {
  std::size_t bytes = 0;
  for (const auto& value : values) bytes += value.size();
  return bytes;
}

JobSecrets given_to_builds(JobSecrets secrets) {
  secrets.values.clear();
  std::erase_if(secrets.texts, [](const auto& entry) { return !entry.first.starts_with(kOfEnvironment); });
  return secrets;
}

}  // namespace berth::model
