#pragma once

// The names of images: "debian", "ghcr.io/team/train:v2", "127.0.0.1:5000/x@sha256:…".

#include <string>
#include <string_view>

namespace berth::docker {

struct Reference {
  std::string registry;    // "docker.io", "127.0.0.1:5000"
  std::string repository;  // "library/debian"
  std::string tag;         // "" only beside a digest
  std::string digest;      // "sha256:<64 hex>", or ""

  // The whole of it, nothing left to defaults: "docker.io/library/debian:latest".
  std::string text() const;
  // Without tag and digest: "docker.io/library/debian".
  std::string name() const { return registry + "/" + repository; }
  // As people write it: "debian:latest".
  std::string familiar() const;
  // What the registry knows the image by: the digest, else the tag.
  const std::string& version() const { return digest.empty() ? tag : digest; }
  Reference with_digest(std::string other) const;

  friend bool operator==(const Reference&, const Reference&) = default;
};

// Throws Error(Code::invalid) that names the part which is wrong. Without a registry it is docker.io, there
// without a directory "library/"; without tag and digest the tag is "latest".
Reference parse_reference(std::string_view text);

// "sha256:" and 64 lower-case hexadecimal digits.
bool is_digest(std::string_view text);

}  // namespace berth::docker
