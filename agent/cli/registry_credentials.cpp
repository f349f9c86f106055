#include "agent/cli/registry_credentials.hpp"

#include <cstdlib>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>

#include "agent/wire/secrets.hpp"
#include "runtime/base/error.hpp"
#include "runtime/base/json.hpp"
#include "runtime/base/text.hpp"
#include "runtime/docker/credentials.hpp"
#include "runtime/docker/reference.hpp"
#include "runtime/os/file.hpp"

namespace berth::cli {
namespace {

using nlohmann::json;

constexpr const char* kFlag = "--registry-credentials: ";
constexpr std::uint64_t kLargestFile = 1U << 20;

// Nothing where the node chooses the image, or where there may be several.
std::optional<std::string> registry_of(const model::EnvironmentRequest& environment) {
  const auto& image = environment.image;
  if (environment.kind != model::EnvironmentRequest::Kind::image || image == "cpu" || image == "gpu")
    return std::nullopt;
  return docker::parse_reference(image).registry;
}

bool is_docker_config(const json& content) {
  return content.is_object() &&
         (content.contains("auths") || content.contains("credHelpers") || content.contains("credsStore"));
}

// "https://ghcr.io/v1/" → "ghcr.io"; the hub's old names are one.
std::string registry_of_key(std::string key) {
  if (const auto scheme = key.find("://"); scheme != std::string::npos) key.erase(0, scheme + 3);
  key.erase(std::min(key.find('/'), key.size()));
  return key == "index.docker.io" ? "docker.io" : key;
}

std::set<std::string> registries_of(const json& config) {
  std::set<std::string> registries;
  for (const auto* section : {"auths", "credHelpers"})
    if (const auto found = config.find(section); found != config.end() && found->is_object())
      for (const auto& [key, value] : found->items()) registries.insert(registry_of_key(key));
  return registries;
}

model::AllRegistryCredentials from_docker_config(const std::string& file, std::set<std::string> registries) {
  const char* path = std::getenv("PATH");
  const docker::Keychain keychain(file, path == nullptr ? "/usr/local/bin:/usr/bin:/bin" : path);
  model::AllRegistryCredentials all;
  for (const auto& registry : registries)
    if (auto found = keychain.find(registry); !found.empty())
      all.push_back({registry, std::move(found.username), std::move(found.password), std::move(found.identity_token)});
  return all;
}

model::AllRegistryCredentials from_list(json content, const std::optional<std::string>& registry) {
  if (content.is_object()) content = json::array({std::move(content)});
  for (auto& entry : content)
    if (entry.is_object() && !entry.contains("registry") && registry) entry["registry"] = *registry;
  auto all = wire::registry_credentials_from(content);
  if (registry) std::erase_if(all, [&](const auto& one) { return one.registry != *registry; });
  return all;
}

}  // namespace

model::AllRegistryCredentials read_registry_credentials(const std::string& file,
                                                        const model::EnvironmentRequest& environment) {
  if (!model::in_container(environment))
    throw Error(Code::invalid, std::string(kFlag) + "this job runs in no container",
                "it goes with --image, --dockerfile, or the --env-lock of one");
  const auto registry = registry_of(environment);
  auto content = json_or_null(os::read_file(file, kLargestFile));
  if (!content.is_object() && !content.is_array())
    throw Error(Code::invalid, kFlag + printable(file) + " is not JSON",
                R"(give Docker's config.json, or {"registry": …, "username": …, "password": …})");
  auto all = is_docker_config(content)
                 ? from_docker_config(file, registry ? std::set<std::string>{*registry} : registries_of(content))
                 : from_list(std::move(content), registry);
  if (all.empty())
    throw Error(Code::not_found,
                kFlag + printable(file) + " has none" + (registry ? " for " + printable(*registry) : std::string()),
                "log in there, as with `docker login`, or name another file");
  return all;
}

}  // namespace berth::cli
