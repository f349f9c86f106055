#pragma once

// Credentials for registries that a job brings along. They travel with its submission, under Azure ML's names
// (registry, username, password), but are no part of its request: what is stored and shown of them is the registries.

#include <string>
#include <vector>

namespace berth::model {

struct RegistryCredentials {
  std::string registry;  // as in the names of its images: "registry.example.org:5000"
  std::string username;
  std::string password;
  std::string identity_token;  // in place of both

  friend bool operator==(const RegistryCredentials&, const RegistryCredentials&) = default;
};
using AllRegistryCredentials = std::vector<RegistryCredentials>;

// A host, with its port where it has one: neither scheme nor path.
bool is_registry(std::string_view text);

}  // namespace berth::model
