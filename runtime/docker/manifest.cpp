#include "runtime/docker/manifest.hpp"

#include "runtime/base/error.hpp"
#include "runtime/base/json.hpp"
#include "runtime/base/text.hpp"
#include "runtime/docker/json.hpp"

namespace berth::docker {
namespace {

Json parse(const std::string& body, const Reference& reference) {
  auto json = json_or_null(body, kAnswerBounds);
  if (!json.is_object())
    throw Error(Code::invalid, "the registry's manifest of " + reference.text() + " is no JSON object");
  return json;
}

// The digest of the list's entry for the platform.
std::string chosen(const Json& manifests, const Platform& platform, const Reference& reference) {
  std::string others;
  for (const auto& entry : manifests) {
    const auto its = member(entry, "platform");
    const auto os = text_of(its, "os");
    const auto architecture = text_of(its, "architecture");
    if (os == platform.os && architecture == platform.architecture) return text_of(entry, "digest");
    if (os != "unknown") (others += others.empty() ? "" : ", ") += printable(os) + "/" + printable(architecture);
  }
  throw Error(Code::unsupported, reference.text() + " is not built for " + platform.os + "/" + platform.architecture,
              "it is there for " + (others.empty() ? "nothing" : others));
}

ByteSize layers_of(const Json& manifest) {
  std::uint64_t sum = 0;
  for (const auto& layer : member(manifest, "layers"))
    if (member(layer, "size").is_number_unsigned()) sum += layer["size"].get<std::uint64_t>();
  return ByteSize(sum);
}

void check_platform(const ImageConfig& config, const Platform& platform, const Reference& reference) {
  if (config.os == platform.os && config.architecture == platform.architecture) return;
  throw Error(Code::unsupported,
              reference.text() + " is built for " + printable(config.os) + "/" + printable(config.architecture) +
                  ", this machine is " + platform.os + "/" + platform.architecture,
              "choose an image that is built for this machine");
}

}  // namespace

std::optional<std::string> manifest_for(const std::string& body, const Platform& platform, const Reference& reference) {
  const auto manifests = member(parse(body, reference), "manifests");
  if (!manifests.is_array()) return std::nullopt;
  auto digest = chosen(manifests, platform, reference);
  if (!is_digest(digest))
    throw Error(Code::invalid, "the registry's list for " + reference.text() + " names no digest");
  return digest;
}

Manifest parse_manifest(const std::string& body, const Reference& reference) {
  const auto json = parse(body, reference);
  Manifest manifest;
  manifest.config_digest = text_of(member(json, "config"), "digest");
  if (!is_digest(manifest.config_digest))
    throw Error(Code::unsupported,
                "the registry's manifest of " + reference.text() + " is of an old form, without a configuration",
                "push the image anew with a current docker");
  manifest.layers = layers_of(json);
  return manifest;
}

ImageConfig parse_image_config(const std::string& body, const Platform& platform, const Reference& reference) {
  const auto json = parse(body, reference);
  ImageConfig config;
  config.os = text_of(json, "os");
  config.architecture = text_of(json, "architecture");
  for (const auto& entry : member(member(json, "config"), "Env"))
    if (entry.is_string()) config.environment.push_back(entry.get<std::string>());
  check_platform(config, platform, reference);
  return config;
}

}  // namespace berth::docker
