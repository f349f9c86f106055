#pragma once

// Asks a registry about an image without pulling it: the digest that a tag means for this machine, and the
// image's configuration, by which a CUDA mismatch is known before gigabytes are fetched. Registry HTTP API
// v2.

#include <chrono>
#include <stop_token>
#include <string>
#include <vector>

#include "runtime/base/units.hpp"
#include "runtime/docker/credentials.hpp"
#include "runtime/docker/reference.hpp"

namespace berth::docker {

struct Platform {
  std::string os = "linux";
  std::string architecture;  // Go's name: "amd64", "arm64"
};
Platform this_platform();

struct RegistryOptions {
  Platform platform = this_platform();
  std::vector<std::string> insecure;  // "host:port" that may be asked over plain http; loopback always may
  std::chrono::milliseconds patience{20'000};  // for each answer to begin, and between its parts
  std::stop_token stop;
};

struct RemoteImage {
  Reference pinned;           // by `digest`: pulling it gets exactly this image
  std::string digest;         // of the manifest for this platform
  std::string index_digest;   // of what the tag names, where that is a list of platforms; else the same
  std::string config_digest;  // what engines call the image's id
  std::string os;
  std::string architecture;
  std::vector<std::string> environment;  // NAME=VALUE
  ByteSize layers;                       // compressed, what a pull fetches at most

  std::string variable(std::string_view name) const;  // "" where it is not set
};

// Blocks for a few round trips. Throws Error: not_found (no such image), denied (credentials; also a bad
// certificate), unsupported (not for this platform), unavailable, timeout, corrupt (a digest does not match).
// The credentials go to the registry and to the token server that it names, to nobody else.
RemoteImage resolve(const Reference& reference, const Credentials& credentials, const RegistryOptions& options = {});

}  // namespace berth::docker
