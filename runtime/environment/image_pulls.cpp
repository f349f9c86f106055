#include "runtime/environment/image_pulls.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "runtime/base/error.hpp"
#include "runtime/base/text.hpp"
#include "runtime/environment/image_choice.hpp"
#include "runtime/objects/sha256.hpp"
#include "runtime/os/random.hpp"

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

// Whether a registry has it by that name, as far as the engine knows.
bool is_of_registry(const docker::Image& image, const docker::Reference& reference) {
  return std::ranges::any_of(
      image.digests, [&](const auto& name) { return docker::parse_reference(name).name() == reference.name(); });
}

bool brings_own(const ImageUse& use, const docker::Reference& reference) {
  return use.credentials.contains(reference.registry);
}

}  // namespace

ImagePulls::ImagePulls(const ImageSettings& settings, const docker::Engine& engine, ImageRecords& records)
    : settings_(settings), engine_(engine), records_(records), salt_(os::random_bytes(16)) {}

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

// The registry decides, through the engine where only that reaches it.
void ImagePulls::ask_for(const std::vector<std::string>& private_names, const ImageUse& use,
                         const std::stop_token& stop) const {
  for (const auto& name : private_names) {
    const auto reference = docker::parse_reference(name);
    try {
      resolve(reference, use, stop);
    } catch (Error& error) {
      error.add_context("asking whether this job may have the private image " + reference.familiar() +
                        ", which is here for others");
      if (!engine_may_do_better(error)) throw;
      engine_.ask_registry(reference, credentials(reference.registry, use), stop);
    }
  }
}

std::optional<Leased> ImagePulls::take(const std::string& name, const ImageRecords::Read& read, const ImageUse& use,
                                       const std::stop_token& stop) const {
  std::vector<std::string> asked;
  for (;;) {
    std::vector<std::string> to_ask;
    const auto open = [&](const docker::Image& image) -> std::optional<Built> {
      records_.require(image, use);
      if (auto names = records_.private_names(image); names != asked) to_ask = std::move(names);
      return to_ask.empty() ? read(image) : std::nullopt;
    };
    auto found = records_.take(name, open);
    if (found || to_ask.empty()) return found;
    ask_for(to_ask, use, stop);
    asked = std::move(to_ask);
  }
}

Leased ImagePulls::here_or_refuse(const std::string& id, const ImageUse& use, const std::stop_token& stop) const {
  const auto read = [&](const docker::Image& image) -> std::optional<Built> {
    if (auto built = records_.built_as(image.id)) return built;
    const auto& names = image.tags.empty() ? image.digests : image.tags;
    return built_from_pulled(image, docker::parse_reference(names.empty() ? id : names.front()));
  };
  auto found = take(id, read, use, stop);
  if (found) return std::move(*found);
  throw Error(Code::not_found, "the image " + id + " was built, and is not on this machine",
              "ask for what it was built from: it cannot be pulled");
}

Found ImagePulls::look(const std::string& asked, const ImageUse& use, std::stop_token stop) const {
  const auto image = chosen_image(asked, settings_);
  if (docker::is_digest(image)) return here_or_refuse(image, use, stop);
  const auto reference = docker::parse_reference(image);
  // A job's own credentials are there to be shown to the registry.
  const bool asks = brings_own(use, reference) ? settings_.pull != PullPolicy::never
                                               : settings_.pull == PullPolicy::always && reference.digest.empty();
  if (asks) return plan(reference, use, std::move(stop));
  const auto read = [&](const docker::Image& found) { return std::optional(accepted(found, reference, use)); };
  if (auto found = take(engine_name(reference), read, use, stop)) return std::move(*found);
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
    const auto here = engine_.find_image(engine_name(reference));
    if (here && !records_.private_names(*here).empty())
      engine_.ask_registry(reference, credentials(reference.registry, use), stop);
    return pull_unseen(reference, use);
  }
  if (use.gpus) check_cuda(reference.familiar(), remote.environment, settings_);
  const auto read = [&](const docker::Image& found) {
    return is_that(found, remote) ? std::optional(accepted(found, reference, use)) : std::nullopt;
  };
  if (auto found = records_.take(engine_name(reference), read)) return std::move(*found);  // its registry has let us
  return pull_of(remote, reference, use);
}

ImagePlan ImagePulls::pull_of(const docker::RemoteImage& remote, const docker::Reference& reference,
                              const ImageUse& use) const {
  const auto digest = digest_of_image(remote.config_digest);
  const bool foreign = !records_.is_ours(digest) && engine_.find_image(remote.config_digest).has_value();
  auto pinned = remote.pinned;
  pinned.tag.clear();
  ImagePlan plan;
  plan.digest = digest;
  plan.words = "image " + reference.familiar();
  plan.name = foreign ? std::string() : pinned.text();
  plan.own = brings_own(use, reference);
  plan.reference = reference.text();
  plan.make = [this, pinned, reference, foreign, use](const docker::LineSink& log, std::stop_token stop) {
    return pull(pinned, reference, foreign, use, log, std::move(stop));
  };
  return plan;
}

ImagePlan ImagePulls::pull_unseen(const docker::Reference& reference, const ImageUse& use) const {
  ImagePlan plan;
  Json request{{"kind", "image"}, {"reference", reference.text()}, {"gpus", use.gpus}};
  // Shared with nobody else.
  if (const auto own = use.credentials.find(reference.registry); own != use.credentials.end())
    request["own"] = objects::sha256(salt_ + docker::registry_auth(own->second, own->first)).hex();
  plan.digest = objects::sha256(request.dump());
  plan.own = brings_own(use, reference);
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
  const auto before = engine_.find_image(engine_name(reference));
  const auto image = engine_.pull(pinned, credentials(pinned.registry, use), log, std::move(stop));
  if (reference.digest.empty()) engine_.tag(image.id, reference);
  foreign = foreign || (before && before->id == image.id && !records_.is_ours(digest_of_image(image.id)));
  auto built = built_from_pulled(engine_.image(image.id), reference, !foreign && brings_own(use, reference));
  auto leased = foreign ? Leased{ready_from(built), Lease()} : records_.publish(std::move(built));
  accepted(image, reference, use);
  return leased;
}

void ImagePulls::check_base(const std::string& name, bool fetched, const ImageUse& use,
                            const std::vector<std::string>& approved) const {
  const auto reference = docker::parse_reference(name);
  const auto image = engine_.find_image(engine_name(reference));
  if (!image)
    throw Error(Code::conflict, "the image " + reference.familiar() + " was removed while it was built upon",
                "try again");
  // The registry has been asked for a tag, but not for a digest that is here.
  if (!reference.digest.empty())
    for (const auto& needed : records_.private_names(*image))
      if (std::ranges::find(approved, needed) == approved.end())
        throw Error(
            Code::denied,
            "the Dockerfile is built upon the private image " + reference.familiar() + ", which is here for others",
            "name it plainly after FROM or --from=, and give credentials with which its registry lets you have it");
  if (fetched && brings_own(use, reference) && !records_.is_ours(digest_of_image(image->id)))
    records_.publish(built_from_pulled(*image, reference, true));
}

ImagePulls::Base ImagePulls::base(const std::string& name, const ImageUse& use, std::stop_token stop) const {
  const auto reference = docker::parse_reference(name);
  const bool local = docker::is_digest(name) || settings_.pull != PullPolicy::always || !reference.digest.empty();
  const auto here = engine_.find_image(docker::is_digest(name) ? name : engine_name(reference));
  if (use.is_restricted() && (docker::is_digest(name) || (here && !is_of_registry(*here, reference)))) {
    if (here) records_.require(*here, use);
    throw Error(
        Code::denied,
        "the image " + reference.familiar() +
            " is on this machine alone, and a Dockerfile of a user of a shared node is "
            "built only upon what a registry lets its user have",
        "have it pushed to a registry (one on this machine will do) and name it there, or use it as it is: --image " +
            printable(name));
  }
  if (here && local) {
    auto names = records_.private_names(*here);
    ask_for(names, use, stop);
    return {here->id, here->environment, std::move(names), true};
  }
  if (docker::is_digest(name)) engine_.image(name);  // says that it is not here
  Base base;
  try {
    const auto remote = resolve(reference, use, std::move(stop));
    base.id = remote.config_digest;
    base.environment = remote.environment;
    base.here = engine_.find_image(remote.config_digest).has_value();
    if (brings_own(use, reference)) base.private_names = {remote.pinned.name() + "@" + remote.pinned.digest};
  } catch (const Error& error) {
    if (!engine_may_do_better(error)) throw;
    if (brings_own(use, reference)) base.private_names = {reference.text()};
  }
  return base;
}

}  // namespace berth::environment
