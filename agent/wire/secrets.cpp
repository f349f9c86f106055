#include "agent/wire/secrets.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>

#include "agent/wire/request.hpp"
#include "runtime/base/base64.hpp"
#include "runtime/base/error.hpp"
#include "runtime/base/json.hpp"
#include "runtime/base/json_fields.hpp"
#include "runtime/base/text.hpp"

namespace berth::model {

void describe(Fields& fields, RegistryCredentials& credentials) {
  fields.named("RegistryCredentials",
               "A login for the registry of the job's image: a name and a password, or a token. They are kept as "
               "secrets, and a Job tells their registries only.");
  fields.field("registry", credentials.registry, "A host, with its port where it has one, as in the image's name.");
  fields.field("username", credentials.username, "With a password.", {.left_out = true});
  fields.field("password", credentials.password, "Of that user.", {.left_out = true, .secret = true});
  fields.field("identity_token", credentials.identity_token, "In place of both.", {.left_out = true, .secret = true});
}

}  // namespace berth::model

namespace berth::wire {
namespace {

using nlohmann::json;

constexpr const char* kSecrets = "secrets";
constexpr const char* kRegistries = "registry_credentials";
constexpr const char* kVariables = "environment_variables";
constexpr const char* kHidden = "hidden";
constexpr const char* kMark = "secrets_mark";
constexpr const char* kLockOfImage = "lock_of_image";
constexpr std::size_t kMostSecrets = 100;
constexpr std::size_t kMostTexts = 1000;
constexpr std::size_t kMostTextBytes = 4U << 20;  // of all texts together
constexpr std::size_t kLongestName = 255;
constexpr std::size_t kMostRegistries = 16;
constexpr std::size_t kLongestLogin = 64U << 10;  // tokens are a few KiB
constexpr int kDeepest = 32;

bool is_letter(char c) { return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z'); }
bool is_digit(char c) { return c >= '0' && c <= '9'; }

// A secret as it is given: its value as text, or as base64 where it is none.
struct GivenForm {
  std::optional<std::string> value;
  std::optional<std::string> base64;
  model::SecretUse use;
};

void describe(Fields& fields, GivenForm& given) {
  fields.named("GivenSecret", "A secret of the job: its value, and where the job finds it.");
  fields.field("value", given.value, "As text.", {.left_out = true, .secret = true});
  fields.field("base64", given.base64, "In place of it, for any bytes.", {.left_out = true, .secret = true});
  fields.field("file", given.use.file, "As a file of its name below $BERTH_SECRETS.");
  fields.field("variable", given.use.variable, "As a variable.");
}

GivenForm form_of(const model::GivenSecret& secret) {
  GivenForm form;
  form.use = secret.use;
  if (is_utf8(secret.value))
    form.value = secret.value;
  else
    form.base64 = base64(secret.value);
  return form;
}

[[noreturn]] void refuse_in(const std::string& what, const char* field, const std::string& complaint) {
  throw Error(Code::invalid, what + ": '" + field + "' " + complaint);
}

[[noreturn]] void refuse(const char* field, const std::string& complaint) {
  refuse_in("job request", field, complaint);
}

bool is_name(std::string_view text) {
  return !text.empty() && text.size() <= kLongestName && !is_digit(text.front()) &&
         std::ranges::all_of(text, [](char c) { return is_letter(c) || is_digit(c) || c == '_'; });
}

void add(model::JobSecrets& secrets, json& shown, const std::string& name, std::string value, model::SecretUse use) {
  if (secrets.values.size() == kMostSecrets)
    refuse(kSecrets, "has more than 100 entries, variables named like one included");
  secrets.values[name] = std::move(value);
  shown[name] = {{"file", use.file}, {"variable", use.variable}};
}

// {"NAME": {"value" or "base64", "file", "variable"}}
void take_given(json& request, model::JobSecrets& secrets, json& shown) {
  const auto found = request.find(kSecrets);
  if (found == request.end() || found->is_null()) return;
  if (!found->is_object()) refuse(kSecrets, "must be an object of {\"value\"} by name");
  for (const auto& [name, entry] : found->items()) {
    const auto what = "secret " + printable(name.substr(0, 64));
    if (!is_name(name)) refuse(kSecrets, "has a name that no variable may have: letters, digits and _ are allowed");
    auto given = message_from<GivenForm>(entry, what, Unknown::refused);
    if (given.base64.has_value() == given.value.has_value())
      refuse_in(what, "value", "must be given, or 'base64': a record tells names only, so that a copy of it has none");
    auto value = given.base64 ? from_base64(*given.base64) : std::move(given.value);
    if (!value) refuse_in(what, "base64", "is no base64");
    const auto use = given.use;
    if (!use.file && !use.variable) refuse_in(what, "file", "or 'variable' must be true");
    if (use.variable && value->find('\0') != std::string::npos)
      refuse_in(what, "value", "has a NUL byte, which no variable can hold; a file can");
    if (use.variable && request.contains(kVariables) && request[kVariables].is_object() &&
        request[kVariables].contains(name))
      refuse_in(what, "variable", "is given in 'environment_variables', too");
    add(secrets, shown, name, std::move(*value), use);
  }
}

// A key is what its entry is found by, so that nothing can be left out of it.
void check_keys(json& object, const std::string& pointer, Origin origin) {
  std::vector<std::string> telling;
  for (const auto& [key, member] : object.items())
    if (model::without_url_secrets(key) != key) telling.push_back(key);
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
    object.emplace(model::without_url_secrets(key), std::move(member));
  }
}

// Those that are not asked for as such but are named like one. A name that no variable may have stays where it is, to
// be refused.
void take_variables(json& request, model::JobSecrets& secrets, json& shown, Origin origin) {
  const auto found = request.find(kVariables);
  if (found == request.end() || !found->is_object()) return;
  check_keys(*found, std::string("/") + kVariables, origin);  // a name is shown, whether it names a secret or not
  std::vector<std::string> taken;
  for (const auto& [name, value] : found->items()) {
    if (!value.is_string() || !model::is_secret(name, value.get_ref<const std::string&>())) continue;
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

void take_text(json& value, const std::string& pointer, model::JobSecrets& secrets) {
  auto& text = value.get_ref<std::string&>();
  auto plain = model::without_url_secrets(text);
  if (pointer == model::kDockerArgsText) plain = model::without_assigned_secrets(plain);
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
void take_texts(json& value, const std::string& pointer, model::JobSecrets& secrets, Origin origin, int depth) {
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
void check_size(const model::JobSecrets& secrets) {
  const auto masked = model::bytes_of(model::values_to_mask(secrets));
  if (masked > model::kMostMasked)
    refuse(kSecrets, "are " + std::to_string(masked) +
                         " bytes together, with variables named like one, and logins and tokens within"
                         " texts as they are written and as they are meant: at most " +
                         std::to_string(model::kMostMasked) + " can be masked in the logs of a job");
  std::size_t bytes = 0;
  for (const auto& [pointer, text] : secrets.texts) bytes += text.size();
  if (bytes > kMostTextBytes) refuse("command", "and the other texts with logins in URLs are over 4 MiB together");
}

model::RegistryCredentials one_from(const json& value) {
  auto one = message_from<model::RegistryCredentials>(value, kRegistries, Unknown::refused);
  if (!model::is_registry(one.registry))
    refuse_in(kRegistries, "registry", "must be a host such as registry.example.org:5000");
  if (one.identity_token.empty() && (one.username.empty() || one.password.empty()))
    refuse_in(kRegistries, "password", "and 'username' are needed, or 'identity_token'");
  for (const auto* text : {&one.username, &one.password, &one.identity_token})
    if (text->size() > kLongestLogin) refuse_in(kRegistries, "password", "is longer than 64 KiB");
  return one;
}

json credentials_json(const model::AllRegistryCredentials& credentials) {
  auto list = json::array();
  for (const auto& one : credentials) list.push_back(json_of(one));
  return list;
}

}  // namespace

void describe_attachments(Fields& fields, model::Attachments& attachments) {
  std::map<std::string, GivenForm> forms;
  for (const auto& [name, secret] : attachments.secrets) forms[name] = form_of(secret);
  fields.field(
      kSecrets, forms,
      "By name. A variable that is named like a secret (TOKEN, PASSWORD, SECRET, CREDENTIAL as parts of the name, "
      "KEY, PASS, PAT, AUTH, BEARER as words of it), or whose value has a login in a URL, is taken for one, too.",
      {.left_out = true});
  fields.field(kRegistries, attachments.registries, "Logins of the job's own for the registries of its image.",
               {.left_out = true});
  if (!fields.reads()) return;
  for (auto& [name, form] : forms)
    attachments.secrets[name] = {form.base64 ? from_base64(*form.base64).value_or("") : form.value.value_or(""),
                                 form.use};
}

model::AllRegistryCredentials registry_credentials_from(const json& value) {
  if (!value.is_array()) refuse(kRegistries, "must be a list of {registry, username, password}");
  if (value.size() > kMostRegistries) refuse(kRegistries, "has more than 16 entries");
  model::AllRegistryCredentials all;
  for (const auto& entry : value) all.push_back(one_from(entry));
  return all;
}

model::AllRegistryCredentials take_registry_credentials(json& request) {
  if (!request.is_object()) return {};
  const auto found = request.find(kRegistries);
  if (found == request.end() || found->is_null()) return {};
  auto all = registry_credentials_from(*found);
  *found = json::array();
  for (const auto& one : all) found->push_back({{"registry", one.registry}});
  return all;
}

model::JobSecrets take_secrets(json& request, Origin origin) {
  model::JobSecrets secrets;
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

void put_back(model::JobRequest& request, const model::JobSecrets& secrets) {
  if (secrets.texts.empty()) return;
  auto whole = json_of(request);
  for (const auto& [pointer, text] : secrets.texts) {
    const json::json_pointer place(pointer);
    if (whole.contains(place)) whole[place] = text;
  }
  request = request_from(whole);
}

std::string to_text(const model::JobSecrets& secrets) {
  auto values = json::object();
  for (const auto& [name, value] : secrets.values) values[name] = base64(value);
  return json{
      {"values", std::move(values)}, {"texts", secrets.texts}, {"registries", credentials_json(secrets.registries)}}
      .dump();
}

model::JobSecrets secrets_from_text(std::string_view text) {
  try {
    const auto whole = read_json(text);
    model::JobSecrets secrets;
    for (const auto& [name, value] : whole.at("values").items())
      secrets.values[name] = from_base64(value.get_ref<const std::string&>()).value();
    whole.at("texts").get_to(secrets.texts);
    secrets.registries = registry_credentials_from(whole.at("registries"));
    return secrets;
  } catch (const std::exception&) {  // what it was must not be told
    throw Error(Code::corrupt, "the secrets of a job are not what they should be");
  }
}

}  // namespace berth::wire
