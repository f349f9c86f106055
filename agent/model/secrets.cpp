#include "agent/model/secrets.hpp"

#include <algorithm>
#include <array>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>

#include "agent/model/json.hpp"
#include "agent/model/json_reader.hpp"
#include "runtime/base/error.hpp"
#include "runtime/base/json.hpp"
#include "runtime/base/text.hpp"
#include "runtime/base/url_credentials.hpp"

namespace berth::model {
namespace {

using nlohmann::json;

constexpr const char* kSecrets = "secrets";
constexpr const char* kVariables = "environment_variables";
constexpr const char* kHidden = "hidden";
constexpr const char* kMark = "secrets_mark";
constexpr const char* kLockOfImage = "lock_of_image";
constexpr const char* kDockerArgs = "/resources/docker_args";
constexpr std::size_t kMostSecrets = 100;
constexpr std::size_t kMostBytes = 1U << 20;      // of all values together
constexpr std::size_t kMostTexts = 1000;
constexpr std::size_t kMostTextBytes = 4U << 20;  // of all texts together
constexpr std::size_t kLongestName = 255;
constexpr int kDeepest = 32;

// --- names

// Parts that tell a secret wherever they stand in a name.
constexpr std::array<std::string_view, 6> kTelling{"TOKEN", "PASSWORD", "PASSWD", "PASSPHRASE", "SECRET", "CREDENTIAL"};
// Words that do, alone or at the end of a longer one where that is usual.
constexpr std::array<std::string_view, 6> kWords{"KEY", "KEYS", "PWD", "PASS", "CREDS", "APIKEYS"};
constexpr std::array<std::string_view, 10> kEnds{"APIKEY",    "ACCESSKEY", "PRIVATEKEY", "AUTHKEY", "SSHKEY",
                                                 "SIGNINGKEY", "ACCOUNTKEY", "LICENSEKEY", "ENCRYPTIONKEY", "SSHPASS"};
// What looks like it and counts, cuts up or orders things.
constexpr std::array<std::string_view, 3> kHarmless{"TOKENIZ", "TOKENIS", "DETOKEN"};

bool is_upper(char c) { return c >= 'A' && c <= 'Z'; }
bool is_lower(char c) { return c >= 'a' && c <= 'z'; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
char upper(char c) { return is_lower(c) ? static_cast<char>(c - 'a' + 'A') : c; }

// "wandbApiKey2" → WANDB, API, KEY; whatever is no letter separates.
std::vector<std::string> words_of(std::string_view name) {
  std::vector<std::string> words;
  bool in_word = false;
  for (std::size_t at = 0; at < name.size(); ++at) {
    const char c = name[at];
    if (!is_upper(c) && !is_lower(c)) {
      in_word = false;
      continue;
    }
    const bool hump = is_upper(c) && at > 0 && is_lower(name[at - 1]);
    if (!in_word || hump) words.emplace_back();
    in_word = true;
    words.back() += upper(c);
  }
  return words;
}

bool tells(std::string_view word) {
  const auto in = [&](std::string_view part) { return word.find(part) != std::string_view::npos; };
  if (std::ranges::any_of(kHarmless, in)) return false;
  return std::ranges::any_of(kTelling, in) || std::ranges::find(kWords, word) != kWords.end() ||
         std::ranges::any_of(kEnds, [&](std::string_view end) { return word.ends_with(end); });
}

// A count of them, and no list of secrets.
bool is_number(std::string_view text) {
  return !text.empty() && text.size() <= 12 && std::ranges::all_of(text, [](char c) {
    return is_digit(c) || c == '.' || c == '_' || c == '-' || c == '+' || c == 'e' || c == 'k' || c == 'M';
  });
}

bool only_counts(std::string_view name, std::string_view value) {
  if (!is_number(value)) return false;
  auto words = words_of(name);
  std::erase(words, "TOKENS");
  return std::ranges::none_of(words, tells);
}

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
    if (found.end > found.begin && !only_counts(found.name, text.substr(found.begin, found.end - found.begin))) tell(found);
    equals = text.find('=', std::max(equals + 1, found.end));
  }
}

// --- logins that a blank or the like cuts in two

// "https://me:pa ss@host" → "https://host"; tells what is left out. A port may be a variable ("tcp://$HOST:$PORT"), so only
// what an '@' follows on its line is one.
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

std::string without_urls_secrets(std::string_view text) {
  if (text.find("://") == std::string_view::npos) return std::string(text);
  return without_broken_logins(without_credentials(text), [](std::string_view) {});
}

// --- taking

[[noreturn]] void refuse(const char* field, const std::string& complaint) {
  throw Error(Code::invalid, std::string("job request: '") + field + "' " + complaint);
}

bool is_name(std::string_view text) {
  return !text.empty() && text.size() <= kLongestName && !is_digit(text.front()) &&
         std::ranges::all_of(text, [](char c) { return is_upper(c) || is_lower(c) || is_digit(c) || c == '_'; });
}

// RFC 4648; nothing for what is none.
std::optional<std::string> from_base64(std::string_view text) {
  constexpr std::string_view kLetters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  while (text.ends_with('=')) text.remove_suffix(1);
  std::string bytes;
  unsigned bits = 0;
  unsigned have = 0;
  for (const char c : text) {
    const auto value = kLetters.find(c);
    if (value == std::string_view::npos) return std::nullopt;
    bits = (bits << 6 | static_cast<unsigned>(value)) & 0xffffff;
    if ((have += 6) < 8) continue;
    have -= 8;
    bytes += static_cast<char>(bits >> have & 0xff);
  }
  return bytes;
}

std::string to_base64(std::string_view bytes) {
  constexpr std::string_view kLetters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  unsigned bits = 0;
  unsigned have = 0;
  for (const char c : bytes) {
    bits = (bits << 8 | static_cast<unsigned char>(c)) & 0xffffff;
    for (have += 8; have >= 6;) text += kLetters[bits >> (have -= 6) & 63];
  }
  if (have > 0) text += kLetters[bits << (6 - have) & 63];
  return text;
}

void add(JobSecrets& secrets, json& shown, const std::string& name, std::string value, SecretUse use) {
  if (secrets.values.size() == kMostSecrets) refuse(kSecrets, "has more than 100 entries, variables named like one included");
  secrets.values[name] = std::move(value);
  shown[name] = {{"file", use.file}, {"variable", use.variable}};
}

// {"NAME": {"value" or "base64", "file", "variable"}}
void take_given(json& request, JobSecrets& secrets, json& shown) {
  const auto found = request.find(kSecrets);
  if (found == request.end() || found->is_null()) return;
  if (!found->is_object()) refuse(kSecrets, "must be an object of {\"value\"} by name");
  for (const auto& [name, entry] : found->items()) {
    const auto what = "secret " + printable(name.substr(0, 64));
    if (!is_name(name)) refuse(kSecrets, "has a name that no variable may have: letters, digits and _ are allowed");
    JsonReader fields(entry, what);
    const bool coded = fields.find("base64") != nullptr;
    if (coded == (fields.find("value") != nullptr))
      fields.refuse("value", "must be given, or 'base64': a record tells names only, so that a copy of it has none");
    auto value = coded ? from_base64(fields.text("base64")) : fields.text("value");
    if (!value) fields.refuse("base64", "is no base64");
    const SecretUse use{fields.flag("file", true), fields.flag("variable", false)};
    fields.refuse_others();
    if (!use.file && !use.variable) fields.refuse("file", "or 'variable' must be true");
    if (use.variable && value->find('\0') != std::string::npos)
      fields.refuse("value", "has a NUL byte, which no variable can hold; a file can");
    if (use.variable && request.contains(kVariables) && request[kVariables].is_object() && request[kVariables].contains(name))
      fields.refuse("variable", "is given in 'environment_variables', too");
    add(secrets, shown, name, std::move(*value), use);
  }
}

// Those that are not asked for as such but are named like one. A name that no variable may have stays where it is, to be
// refused.
void take_variables(json& request, JobSecrets& secrets, json& shown) {
  const auto found = request.find(kVariables);
  if (found == request.end() || !found->is_object()) return;
  std::vector<std::string> taken;
  for (const auto& [name, value] : found->items()) {
    if (!value.is_string() || !is_secret(name, value.get_ref<const std::string&>())) continue;
    if (name.empty() || name.size() > kLongestName || name.find('\0') != std::string::npos ||
        name.find_first_of("= ") != std::string::npos)
      continue;
    auto text = value.get<std::string>();
    if (text.find('\0') != std::string::npos) refuse(kVariables, "contains a NUL byte");
    if (secrets.values.contains(name)) {  // a file of the same name, given apart
      refuse(kVariables, "and 'secrets' both have " + printable(name.substr(0, 64)) + ": say it once");
    }
    add(secrets, shown, name, std::move(text), {false, true});
    taken.push_back(name);
  }
  for (const auto& name : taken) found->erase(name);
}

void take_text(json& value, const std::string& pointer, JobSecrets& secrets) {
  auto& text = value.get_ref<std::string&>();
  auto plain = without_urls_secrets(text);
  if (pointer == kDockerArgs) plain = without_assigned_secrets(plain);
  if (plain == text) return;
  if (secrets.texts.size() == kMostTexts) refuse("command", "and the other texts have more than 1000 logins in URLs");
  secrets.texts[pointer] = std::move(text);
  value = std::move(plain);
}

std::string escaped(std::string_view key) {
  std::string out;
  for (const char c : key) out += c == '~' ? "~0" : c == '/' ? "~1" : std::string(1, c);
  return out;
}

// By JSON pointer (RFC 6901).
void take_texts(json& value, const std::string& pointer, JobSecrets& secrets, int depth) {
  if (depth > kDeepest) return;
  if (value.is_string()) return take_text(value, pointer, secrets);
  if (value.is_array())
    for (std::size_t i = 0; i < value.size(); ++i)
      take_texts(value[i], pointer + "/" + std::to_string(i), secrets, depth + 1);
  if (value.is_object())
    for (auto& [key, member] : value.items()) take_texts(member, pointer + "/" + escaped(key), secrets, depth + 1);
}

void check_size(const JobSecrets& secrets) {
  std::size_t bytes = 0;
  for (const auto& [name, value] : secrets.values) bytes += name.size() + value.size() + 2;
  if (bytes > kMostBytes) refuse(kSecrets, "are over 1 MiB together");
  bytes = 0;
  for (const auto& [pointer, text] : secrets.texts) bytes += text.size();
  if (bytes > kMostTextBytes) refuse("command", "and the other texts with logins in URLs are over 4 MiB together");
}

}  // namespace

bool names_secret(std::string_view name) {
  if (name == "PWD" || name == "OLDPWD") return false;  // where a shell is
  return std::ranges::any_of(words_of(name), tells);
}

bool is_secret(std::string_view name, std::string_view value) {
  if (value.empty()) return false;
  if (names_secret(name) && !only_counts(name, value)) return true;
  if (without_urls_secrets(value) != value) return true;
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

void attach(json& request, const Attachments& attachments) {
  if (!attachments.registries.empty()) request["registry_credentials"] = to_json(attachments.registries);
  for (const auto& [name, secret] : attachments.secrets) {
    auto& entry = request[kSecrets][name] = {{"file", secret.use.file}, {"variable", secret.use.variable}};
    if (is_utf8(secret.value))
      entry["value"] = secret.value;
    else
      entry["base64"] = to_base64(secret.value);
  }
}

JobSecrets take_secrets(json& request) {
  JobSecrets secrets;
  if (!request.is_object()) return secrets;
  for (const auto* own : {kHidden, kMark, kLockOfImage})
    if (request.contains(own)) refuse(own, "is not a known field");
  secrets.registries = take_registry_credentials(request);
  auto shown = json::object();
  take_given(request, secrets, shown);
  take_variables(request, secrets, shown);
  request.erase(kSecrets);
  take_texts(request, "", secrets, 0);
  check_size(secrets);
  if (!shown.empty()) request[kSecrets] = std::move(shown);
  if (secrets.texts.empty()) return secrets;
  auto& hidden = request[kHidden] = json::array();
  for (const auto& [pointer, text] : secrets.texts) hidden.push_back(pointer);
  return secrets;
}

void put_back(JobRequest& request, const JobSecrets& secrets) {
  if (secrets.texts.empty()) return;
  auto whole = to_json(request);
  for (const auto& [pointer, text] : secrets.texts) {
    const json::json_pointer place(pointer);
    if (whole.contains(place)) whole[place] = text;
  }
  request = request_from_json(whole);
}

bool has_secrets(const JobRequest& request) {
  return !request.secrets.empty() || !request.hidden.empty() || !request.container.registries.empty();
}

std::string to_text(const JobSecrets& secrets) {
  auto values = json::object();
  for (const auto& [name, value] : secrets.values) values[name] = to_base64(value);
  return json{{"values", std::move(values)}, {"texts", secrets.texts}, {"registries", to_json(secrets.registries)}}.dump();
}

JobSecrets secrets_from_text(std::string_view text) {
  try {
    const auto whole = read_json(text);
    JobSecrets secrets;
    for (const auto& [name, value] : whole.at("values").items())
      secrets.values[name] = from_base64(value.get_ref<const std::string&>()).value();
    whole.at("texts").get_to(secrets.texts);
    secrets.registries = registry_credentials_from_json(whole.at("registries"));
    return secrets;
  } catch (const std::exception&) {  // what it was must not be told
    throw Error(Code::corrupt, "the secrets of a job are not what they should be");
  }
}

std::vector<std::string> values_to_mask(const JobSecrets& secrets) {
  std::vector<std::string> values;
  const auto take_urls = [&](const std::string& text) {
    for (auto& secret : secrets_in_urls(text)) values.push_back(std::move(secret));
    without_broken_logins(text, [&](std::string_view login) { values.emplace_back(login.substr(login.find(':') + 1)); });
  };
  const auto take_assignments = [&](const std::string& text) {
    for_each_assignment(text, [&](const Assignment& found) {
      values.emplace_back(std::string_view(text).substr(found.begin, found.end - found.begin));
    });
  };
  for (const auto& [name, value] : secrets.values) {
    values.push_back(value);
    take_urls(value);
    take_assignments(value);
  }
  for (const auto& [pointer, text] : secrets.texts) {
    take_urls(text);
    if (pointer == kDockerArgs) take_assignments(text);
  }
  for (const auto& registry : secrets.registries)
    for (const auto& part : {registry.password, registry.identity_token})
      if (!part.empty()) values.push_back(part);
  return values;
}

}  // namespace berth::model
