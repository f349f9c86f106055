#pragma once

// What of a job is secret, and how it is kept apart from the request. One rule for all doors:
//
//   - a variable given as a secret (`--secret`), named like one, or with a value that carries one;
//   - a login or a token in a URL, a parameter of its query that is named like a secret included, in whatever text of
//     the request it stands: an index in a requirements file, a channel, a git remote, an argument; and the value of
//     an assignment to such a variable in `docker_args`. The name of an entry (a tag's, a property's) may have none;
//   - credentials for registries (registry_credentials.hpp).
//
// Of each the request keeps a name or a text without it: that is what is stored and shown. The values are in
// JobSecrets, which are stored sealed and put back for as long as a job is prepared and started
// (agent/wire/secrets.hpp).

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "agent/model/job.hpp"
#include "agent/model/registry_credentials.hpp"
#include "runtime/base/secret_names.hpp"

namespace berth::model {

// Named like one, or with a login in a URL or an assignment to such a name in its value. A number of tokens
// (MAX_TOKENS=4096) is none.
bool is_secret(std::string_view name, std::string_view value);
// Without the logins and tokens of the URLs in it.
std::string without_url_secrets(std::string_view text);
// "-e HF_TOKEN=x --rm" → "-e HF_TOKEN=*** --rm".
std::string without_assigned_secrets(std::string_view text);

struct JobSecrets {
  std::map<std::string, std::string> values;  // of JobRequest::secrets, by name; any bytes
  std::map<std::string, std::string> texts;  // by JobRequest::hidden: as they were given
  AllRegistryCredentials registries;

  bool empty() const { return values.empty() && texts.empty() && registries.empty(); }
  friend bool operator==(const JobSecrets&, const JobSecrets&) = default;
};

// The one text in which assignments to secrets' names are secret, too.
inline constexpr const char* kDockerArgsText = "/resources/docker_args";

// What goes with a request to the agent, and is no part of it.
struct GivenSecret {
  std::string value;  // any bytes
  SecretUse use;
  friend bool operator==(const GivenSecret&, const GivenSecret&) = default;
};
struct Attachments {
  AllRegistryCredentials registries;
  std::map<std::string, GivenSecret> secrets;  // by name
};

// Of all that is to be masked of one job, in bytes.
constexpr std::size_t kMostMasked = 32U << 10;

// Whether there are any to be put back.
bool has_secrets(const JobRequest& request);

// What must not be read in a log, each once: the values, those that are in URLs, and the parts of a registry's login,
// as they are written and percent-decoded.
std::vector<std::string> values_to_mask(const JobSecrets& secrets);
std::size_t bytes_of(const std::vector<std::string>& values);
// Those that come to what is built for a job.
JobSecrets given_to_builds(JobSecrets secrets);

}  // namespace berth::model
