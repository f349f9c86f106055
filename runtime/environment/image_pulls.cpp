#include "runtime/environment/image_pulls.hpp"

#include <nlohmann/json.hpp>

#include "runtime/base/error.hpp"
#include "runtime/base/text.hpp"
#include "runtime/environment/image_choice.hpp"
#include "runtime/objects/sha256.hpp"

namespace berth::environment {
namespace {

using Json = nlohmann::json;

// By which the engine knows it: a digest counts alone.
std::string engine_name(docker::Reference reference) {
  if (!reference.digest.empty()) reference.tag.clear();
  return reference.text();
}

bool is_that(const docker::Image& image, const docker::RemoteImage& remote) {
  if (image.id == remote.config_digest) return true;
  for (const auto& name : image.digests)
    for (const auto& digest : {remote.digest, remote.index_digest})
      if (name.ends_with("@" + digest)) return true;
  return false;
}

// Engines may know ways to a registry that this process does not: mirrors, proxies, certificates of their own.
bool engine_may_do_better(const Error& error) {
  return error.code() == Code::unavailable || error.code() == Code::timeout ||
         error.message().find("certificate") != std::string::npos;
}

Digest digest_of_id(const std::string& id) { return objects::sha256(Json{{"kind", "image"}, {"id", id}}.dump()); }

}  // namespace

ImagePulls::ImagePulls(const ImageSettings& settings, const docker::Engine& engine, ImageRecords& records)
    : settings_(settings), engine_(engine), records_(records) {}

docker::Credentials ImagePulls::credentials(const std::string& registry, const ImageUse& use) const {
  if (const auto own = use.credentials.find(registry); own != use.credentials.end()) return own->second;
  if (settings_.docker_config.empty()) return {};
  return docker::Keychain(settings_.docker_config).find(registry);
}

docker::RemoteImage ImagePulls::resolve(const docker::Reference& reference, const ImageUse& use,
                                        std::stop_token stop) const {
  docker::RegistryOptions options;
  options.insecure = settings_.insecure_registries;
  options.stop = std::move(stop);
  return docker::resolve(reference, credentials(reference.registry, use), options);
}

Built ImagePulls::accepted(const docker::Image& image, const docker::Reference& reference, const ImageUse& use) const {
  const auto own = docker::this_platform().architecture;
  if (!image.architecture.empty() && image.architecture != own)
    throw Error(Code::unsupported,
                "the image " + reference.familiar() + " is built for " + printable(image.architecture) +
                    ", this machine is " + own,
                "choose an image that is built for " + own);
  if (use.gpus) check_cuda(reference.familiar(), image.environment, settings_);
  return built_from_pulled(image, reference);
}

Leased ImagePulls::here_or_refuse(const std::string& id) const {
  const auto read = [&](const docker::Image& image) -> std::optional<Built> {
    if (auto built = built_from_labels(image)) return built;
    const auto& names = image.tags.empty() ? image.digests : image.tags;
    return built_from_pulled(image, docker::parse_reference(names.empty() ? id : names.front()));
  };
  auto found = records_.take(id, read);
  if (found) return std::move(*found);
  throw Error(Code::not_found, "the image " + id + " was built, and is not on this machine",
              "ask for what it was built from: it cannot be pulled");
}

Found ImagePulls::look(const std::string& asked, const ImageUse& use, std::stop_token stop) const {
  const auto image = chosen_image(asked, settings_);
  if (docker::is_digest(image)) return here_or_refuse(image);
  const auto reference = docker::parse_reference(image);
  if (settings_.pull == PullPolicy::always && reference.digest.empty()) return plan(reference, use, std::move(stop));
  const auto read = [&](const docker::Image& found) { return std::optional(accepted(found, reference, use)); };
  if (auto found = records_.take(engine_name(reference), read)) return std::move(*found);
  if (settings_.pull == PullPolicy::never)
    throw Error(Code::not_found, "the image " + reference.familiar() + " is not on this machine",
                "this node pulls none: have it pulled, or the configuration changed");
  return plan(reference, use, std::move(stop));
}

Found ImagePulls::plan(const docker::Reference& reference, const ImageUse& use, std::stop_token stop) const {
  docker::RemoteImage remote;
  try {
    remote = resolve(reference, use, stop);
  } catch (const Error& error) {
    if (!engine_may_do_better(error)) throw;
    return pull_unseen(reference, use);
  }
  if (use.gpus) check_cuda(reference.familiar(), remote.environment, settings_);
  const auto read = [&](const docker::Image& found) {
    return is_that(found, remote) ? std::optional(accepted(found, reference, use)) : std::nullopt;
  };
  if (auto found = records_.take(engine_name(reference), read)) return std::move(*found);
  return pull_of(remote, reference, use);
}

ImagePlan ImagePulls::pull_of(const docker::RemoteImage& remote, const docker::Reference& reference,
                              const ImageUse& use) const {
  const auto digest = digest_of_id(remote.config_digest);
  const bool foreign = !records_.is_ours(digest) && engine_.find_image(remote.config_digest).has_value();
  auto pinned = remote.pinned;
  pinned.tag.clear();
  ImagePlan plan;
  plan.digest = digest;
  plan.words = "image " + reference.familiar();
  plan.name = foreign ? std::string() : pinned.text();
  plan.reference = reference.text();
  plan.make = [this, pinned, reference, foreign, use](const docker::LineSink& log, std::stop_token stop) {
    return pull(pinned, reference, foreign, use, log, std::move(stop));
  };
  return plan;
}

ImagePlan ImagePulls::pull_unseen(const docker::Reference& reference, const ImageUse& use) const {
  ImagePlan plan;
  plan.digest = objects::sha256(Json{{"kind", "image"}, {"reference", reference.text()}, {"gpus", use.gpus}}.dump());
  plan.words = "image " + reference.familiar();
  plan.name = engine_name(reference);
  plan.reference = reference.text();
  plan.make = [this, reference, use](const docker::LineSink& log, std::stop_token stop) {
    return pull(reference, reference, false, use, log, std::move(stop));
  };
  return plan;
}

// `foreign`: somebody else's image has it all already; only its name is new.
Leased ImagePulls::pull(const docker::Reference& pinned, const docker::Reference& reference, bool foreign,
                        const ImageUse& use, const docker::LineSink& log, std::stop_token stop) const {
  const auto image = engine_.pull(pinned, credentials(pinned.registry, use), log, std::move(stop));
  if (reference.digest.empty()) engine_.tag(image.id, reference);
  auto built = built_from_pulled(engine_.image(image.id), reference);
  auto leased = foreign ? Leased{ready_from(built), Lease()} : records_.publish(std::move(built));
  accepted(image, reference, use);
  return leased;
}

ImagePulls::Base ImagePulls::base(const std::string& name, const ImageUse& use, std::stop_token stop) const {
  const auto reference = docker::parse_reference(name);
  if (docker::is_digest(name)) return {name, engine_.image(name).environment, true};
  if (settings_.pull != PullPolicy::always || !reference.digest.empty())
    if (const auto image = engine_.find_image(engine_name(reference))) return {image->id, image->environment, true};
  try {
    const auto remote = resolve(reference, use, std::move(stop));
    return {remote.config_digest, remote.environment, engine_.find_image(remote.config_digest).has_value()};
  } catch (const Error& error) {
    if (!engine_may_do_better(error)) throw;
    return {};
  }
}

}  // namespace berth::environment
