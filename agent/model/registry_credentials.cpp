#include "agent/model/registry_credentials.hpp"

#include <algorithm>

#include "agent/model/json_reader.hpp"
#include "runtime/base/error.hpp"

namespace berth::model {
namespace {

using nlohmann::json;

constexpr const char* kField = "registry_credentials";
constexpr std::size_t kMostRegistries = 16;
constexpr std::size_t kLongestSecret = 64U << 10;  // tokens are a few KiB
constexpr std::size_t kLongestHost = 255;

[[noreturn]] void refuse(const std::string& complaint) {
  throw Error(Code::invalid, std::string("job request: '") + kField + "' " + complaint);
}

RegistryCredentials one_from_json(const json& value) {
  JsonReader fields(value, kField);
  RegistryCredentials one{fields.text("registry"), fields.text("username"), fields.text("password"),
                          fields.text("identity_token")};
  fields.refuse_others();
  if (!is_registry(one.registry)) fields.refuse("registry", "must be a host such as registry.example.org:5000");
  if (one.identity_token.empty() && (one.username.empty() || one.password.empty()))
    fields.refuse("password", "and 'username' are needed, or 'identity_token'");
  for (const auto* text : {&one.username, &one.password, &one.identity_token})
    if (text->size() > kLongestSecret) fields.refuse("password", "is longer than 64 KiB");
  return one;
}

}  // namespace

bool is_registry(std::string_view text) {
  return !text.empty() && text.size() <= kLongestHost && std::ranges::all_of(text, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '-' ||
           c == ':' || c == '[' || c == ']';
  });
}

AllRegistryCredentials registry_credentials_from_json(const json& value) {
  if (!value.is_array()) refuse("must be a list of {registry, username, password}");
  if (value.size() > kMostRegistries) refuse("has more than 16 entries");
  AllRegistryCredentials all;
  for (const auto& entry : value) all.push_back(one_from_json(entry));
  return all;
}

json to_json(const AllRegistryCredentials& credentials) {
  auto list = json::array();
  for (const auto& one : credentials) {
    json entry{{"registry", one.registry}};
    if (one.identity_token.empty())
      entry.update({{"username", one.username}, {"password", one.password}});
    else
      entry["identity_token"] = one.identity_token;
    list.push_back(std::move(entry));
  }
  return list;
}

AllRegistryCredentials take_registry_credentials(json& request) {
  if (!request.is_object()) return {};
  const auto found = request.find(kField);
  if (found == request.end() || found->is_null()) return {};
  auto all = registry_credentials_from_json(*found);
  *found = json::array();
  for (const auto& one : all) found->push_back({{"registry", one.registry}});
  return all;
}

}  // namespace berth::model
