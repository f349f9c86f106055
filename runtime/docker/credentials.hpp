#pragma once

// Who we are for a registry: as Docker's config.json says it (auths, credHelpers, credsStore), or as a job
// brings it. Nothing here is ever logged or put into a message.

#include <chrono>
#include <map>
#include <string>
#include <string_view>

namespace berth::docker {

struct Credentials {
  std::string username;
  std::string password;
  std::string identity_token;  // in place of both, from `docker login` with a token

  bool empty() const { return username.empty() && identity_token.empty(); }
};

// The value of the engine's X-Registry-Auth field, for pulling.
std::string registry_auth(const Credentials& credentials, const std::string& registry);
// The value of X-Registry-Config, for builds: by registry.
std::string registry_config(const std::map<std::string, Credentials>& credentials);

// Docker's config.json. Reading and helpers happen in find(): what an administrator changes counts at once.
class Keychain {
 public:
  // `config`: the file's path, which need not exist. `path`: where docker-credential-… programs are looked
  // for.
  explicit Keychain(std::string config, std::string path = "/usr/local/bin:/usr/bin:/bin",
                    std::chrono::seconds patience = std::chrono::seconds(15))
      : config_(std::move(config)), path_(std::move(path)), patience_(patience) {}

  // For a registry as in Reference; empty where there are none. Throws an Error that names the file or the
  // helper: not JSON, a helper that is absent, fails or hangs.
  Credentials find(const std::string& registry) const;

 private:
  Credentials ask_helper(const std::string& helper, const std::string& registry) const;

  std::string config_;
  std::string path_;
  std::chrono::seconds patience_;
};

}  // namespace berth::docker
