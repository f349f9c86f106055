#include "runtime/docker/credentials.hpp"

#include <signal.h>

#include <algorithm>
#include <optional>
#include <vector>

#include "runtime/async/tool.hpp"
#include "runtime/base/base64.hpp"
#include "runtime/base/error.hpp"
#include "runtime/base/json.hpp"
#include "runtime/base/text.hpp"
#include "runtime/docker/json.hpp"
#include "runtime/os/file.hpp"
#include "runtime/os/spawn.hpp"

namespace berth::docker {
namespace {

constexpr std::string_view kHub = "docker.io";
constexpr std::string_view kHubKey = "https://index.docker.io/v1/";  // by which Docker files the hub
constexpr std::uint64_t kLargestConfig = 1U << 20;
constexpr std::string_view kTokenUser = "<token>";

std::string key_of(const std::string& registry) { return registry == kHub ? std::string(kHubKey) : registry; }

// "https://ghcr.io/v1/" → "ghcr.io"
std::string_view host_of(std::string_view key) {
  for (const std::string_view scheme : {"https://", "http://"})
    if (key.starts_with(scheme)) key.remove_prefix(scheme.size());
  return key.substr(0, key.find('/'));
}

// The member of `object` that is meant for the registry: under its own key, else under any address of it.
const Json* member_for(const Json& config, const char* section, const std::string& registry) {
  const auto object = config.find(section);
  if (object == config.end() || !object->is_object()) return nullptr;
  if (const auto exact = object->find(key_of(registry)); exact != object->end()) return &*exact;
  for (const auto& [key, value] : object->items())
    if (host_of(key) == registry || (registry == kHub && host_of(key) == "index.docker.io")) return &value;
  return nullptr;
}

Credentials from_entry(const Json& entry, const std::string& where) {
  Credentials credentials;
  if (!entry.is_object()) return credentials;
  credentials.identity_token = text_of(entry, "identitytoken");
  credentials.username = text_of(entry, "username");
  credentials.password = text_of(entry, "password");
  const auto encoded = text_of(entry, "auth");
  if (encoded.empty()) return credentials;
  const auto pair = from_base64(encoded);
  const auto colon = pair ? pair->find(':') : std::string::npos;
  if (colon == std::string::npos)
    throw Error(Code::invalid, "an \"auth\" in " + where + " is not base64 of user:password");
  credentials.username = pair->substr(0, colon);
  credentials.password = pair->substr(colon + 1);
  while (credentials.password.ends_with('\0')) credentials.password.pop_back();
  if (!is_utf8(*pair))
    throw Error(Code::invalid, "an \"auth\" in " + where + " is not UTF-8, as engines and registries want it",
                "make it anew with docker login");
  return credentials;
}

Json to_json(const Credentials& credentials, const std::string& registry) {
  if (!credentials.identity_token.empty())
    return {{"identitytoken", credentials.identity_token}, {"serveraddress", key_of(registry)}};
  return {{"username", credentials.username}, {"password", credentials.password}, {"serveraddress", key_of(registry)}};
}

bool is_helper_name(const std::string& name) {
  return !name.empty() && std::ranges::all_of(name, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ||
           c == '.';
  });
}

}  // namespace

std::string registry_auth(const Credentials& credentials, const std::string& registry) {
  return base64(credentials.empty() ? "{}" : to_json(credentials, registry).dump(), Base64::url);
}

std::string registry_config(const std::map<std::string, Credentials>& credentials) {
  auto all = Json::object();
  for (const auto& [registry, own] : credentials)
    if (!own.empty()) all[key_of(registry)] = to_json(own, registry);
  return base64(all.dump(), Base64::url);
}

Credentials Keychain::find(const std::string& registry) const {
  const auto text = os::read_file_if_exists(config_, kLargestConfig);
  if (!text) return {};
  const auto config = json_or_null(*text, kAnswerBounds);
  if (!config.is_object())
    throw Error(Code::invalid, "the registry credentials in " + printable(config_) + " are not JSON",
                "correct the file, or make it anew with docker login");
  if (const auto* helper = member_for(config, "credHelpers", registry); helper != nullptr && helper->is_string())
    return ask_helper(helper->get<std::string>(), registry);
  if (const auto* entry = member_for(config, "auths", registry)) {
    auto credentials = from_entry(*entry, printable(config_));
    if (!credentials.empty()) return credentials;
  }
  const auto store = text_of(config, "credsStore");
  return store.empty() ? Credentials() : ask_helper(store, registry);
}

Credentials Keychain::ask_helper(const std::string& helper, const std::string& registry) const {
  const auto name = "docker-credential-" + printable(helper);
  const auto program = is_helper_name(helper) ? os::find_program(path_, name) : std::nullopt;
  if (!program)
    throw Error(Code::not_found,
                "the credential helper " + name + " that " + printable(config_) + " names for " + printable(registry) +
                    " is not on " + path_,
                "install it, or log in to the registry without it");
  auto question = os::make_pipe();
  os::write_all(question.write, key_of(registry) + "\n");  // fits into the pipe
  question.write.reset();
  os::SpawnOptions options;
  options.arguments = {*program, "get"};
  options.environment = {"PATH=" + path_, "HOME=" + os::parent_of(os::parent_of(config_))};
  options.standard_input = question.read.get();
  const auto done = async::run_tool_here(std::move(options), {patience_, kLargestConfig});
  if (done.exit.signalled || done.exit.status != 0) {
    const auto& said = done.output.empty() ? done.errors : done.output;
    if (said.find("credentials not found") != std::string::npos) return {};
    throw Error(Code::unavailable,
                name + " has no credentials for " + printable(registry) + ": " + printable(said.substr(0, 200)),
                "run it by hand: echo " + key_of(registry) + " | " + *program + " get");
  }
  const auto answer = json_or_null(done.output, kAnswerBounds);
  if (!answer.is_object()) throw Error(Code::invalid, name + " did not answer with JSON");
  Credentials credentials{text_of(answer, "Username"), text_of(answer, "Secret"), {}};
  if (credentials.username == kTokenUser) credentials = {{}, {}, credentials.password};
  return credentials;
}

}  // namespace berth::docker
