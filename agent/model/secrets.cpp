#include "agent/model/secrets.hpp"

#include <algorithm>
#include <array>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>

#include "agent/model/json.hpp"
#include "agent/model/json_reader.hpp"
#include "runtime/base/base64.hpp"
#include "runtime/base/error.hpp"
#include "runtime/base/json.hpp"
#include "runtime/base/percent.hpp"
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
constexpr std::string_view kOfEnvironment = "/environment/";
constexpr std::size_t kMostSecrets = 100;
constexpr std::size_t kMostTexts = 1000;
constexpr std::size_t kMostTextBytes = 4U << 20;  // of all texts together
constexpr std::size_t kLongestName = 255;
constexpr int kDeepest = 32;

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

void add(JobSecrets& secrets, json& shown, const std::string& name, std::string value, SecretUse use) {
  if (secrets.values.size() == kMostSecrets)
    refuse(kSecrets, "has more than 100 entries, variables named like one included");
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
    if (use.variable && request.contains(kVariables) && request[kVariables].is_object() &&
        request[kVariables].contains(name))
      fields.refuse("variable", "is given in 'environment_variables', too");
    add(secrets, shown, name, std::move(*value), use);
  }
}

// A key is what its entry is found by, so that nothing can be left out of it.
void check_keys(json& object, const std::string& pointer, Origin origin) {
  std::vector<std::string> telling;
  for (const auto& [key, member] : object.items())
    if (without_urls_secrets(key) != key) telling.push_back(key);
  if (telling.empty()) return;
  if (origin == Origin::submitted) {
    const auto field = pointer.substr(0, pointer.find('/', 1));
    refuse(field.empty() ? "" : field.c_str() + 1,
           "has a login or token in the name of an entry, which is shown: put it into the value, where it is kept as a "
           "secret");
  }
  for (const auto& key : telling) {
    auto member = std::move(object[key]);
    object.erase(key);
    object.emplace(without_urls_secrets(key), std::move(member));
  }
}

// Those that are not asked for as such but are named like one. A name that no variable may have stays where it is, to
// be refused.
void take_variables(json& request, JobSecrets& secrets, json& shown, Origin origin) {
  const auto found = request.find(kVariables);
  if (found == request.end() || !found->is_object()) return;
  check_keys(*found, std::string("/") + kVariables, origin);  // a name is shown, whether it names a secret or not
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
void take_texts(json& value, const std::string& pointer, JobSecrets& secrets, Origin origin, int depth) {
  if (depth > kDeepest) return;
  if (value.is_string()) return take_text(value, pointer, secrets);
  if (value.is_array())
    for (std::size_t i = 0; i < value.size(); ++i)
      take_texts(value[i], pointer + "/" + std::to_string(i), secrets, origin, depth + 1);
  if (value.is_object()) {
    check_keys(value, pointer, origin);
    for (auto& [key, member] : value.items())
      take_texts(member, pointer + "/" + escaped(key), secrets, origin, depth + 1);
  }
}

// All that a job brings along can be masked in its logs.
void check_size(const JobSecrets& secrets) {
  const auto masked = bytes_of(values_to_mask(secrets));
  if (masked > kMostMasked)
    refuse(kSecrets, "are " + std::to_string(masked) +
                         " bytes together, with variables named like one, and logins and tokens within"
                         " texts as they are written and as they are meant: at most " +
                         std::to_string(kMostMasked) + " can be masked in the logs of a job");
  std::size_t bytes = 0;
  for (const auto& [pointer, text] : secrets.texts) bytes += text.size();
  if (bytes > kMostTextBytes) refuse("command", "and the other texts with logins in URLs are over 4 MiB together");
}

}  // namespace

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
      entry["base64"] = base64(secret.value);
  }
}

JobSecrets take_secrets(json& request, Origin origin) {
  JobSecrets secrets;
  if (!request.is_object()) return secrets;
  for (const auto* own : {kHidden, kMark, kLockOfImage})
    if (request.contains(own)) refuse(own, "is not a known field");
  secrets.registries = take_registry_credentials(request);
  auto shown = json::object();
  take_given(request, secrets, shown);
  take_variables(request, secrets, shown, origin);
  request.erase(kSecrets);
  take_texts(request, "", secrets, origin, 0);
  if (origin == Origin::submitted) check_size(secrets);
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
  for (const auto& [name, value] : secrets.values) values[name] = base64(value);
  return json{{"values", std::move(values)}, {"texts", secrets.texts}, {"registries", to_json(secrets.registries)}}
      .dump();
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
    if (pointer == kDockerArgs) take_assignments(text);
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
