#pragma once

// What a registry's JSON says of an image: lists of platforms, manifests, configurations. They are a stranger's; all
// that is wrong with one is an Error that names the image. Pure.

#include <optional>
#include <string>
#include <vector>

#include "runtime/base/units.hpp"
#include "runtime/docker/registry.hpp"

namespace berth::docker {

// The digest of the platform's manifest, of a list of platforms; nothing for a body that is itself a manifest.
// Code::unsupported where the list has none for it.
std::optional<std::string> manifest_for(const std::string& body, const Platform& platform, const Reference& reference);

struct Manifest {
  std::string config_digest;  // "sha256:…"
  ByteSize layers;            // in sum, compressed
};
// Code::unsupported for a manifest of a form so old that it has no configuration.
Manifest parse_manifest(const std::string& body, const Reference& reference);

struct ImageConfig {
  std::string os;
  std::string architecture;
  std::vector<std::string> environment;  // NAME=VALUE
};
// Code::unsupported when it is for another platform.
ImageConfig parse_image_config(const std::string& body, const Platform& platform, const Reference& reference);

}  // namespace berth::docker
