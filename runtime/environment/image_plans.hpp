#pragma once

// Whether an image environment is here, and if not, how to get it: pulls and builds from Dockerfiles. Looking costs
// one call to the engine for what is here; for what is not, a few round trips to the registry, which tell the digest
// and whether it would run here before any layer travels. Every call blocks. Thread-safe.

#include <functional>
#include <stop_token>
#include <string>
#include <variant>

#include "runtime/docker/engine.hpp"
#include "runtime/docker/registry.hpp"
#include "runtime/environment/image_records.hpp"
#include "runtime/environment/image_settings.hpp"
#include "runtime/environment/spec.hpp"

namespace berth::environment {

struct ImagePlan {
  Digest digest;          // of what will come of it; of the request where only the engine can tell
  std::string words;      // "image debian:12"
  std::string name;       // by which the engine will have it, if it is Berth's then; "" to be told by labels
  std::string reference;  // as it was asked for
  // Blocks until it is here. A stop is Cancelled.
  std::function<Leased(const docker::LineSink& log, std::stop_token stop)> make;
};

using Found = std::variant<Leased, ImagePlan>;

class ImagePlans {
 public:
  ImagePlans(const ImageSettings& settings, const docker::Engine& engine, ImageRecords& records);

  // An image without what goes on top of it. Throws Error: Code::unsupported for what does not run on this machine,
  // not_found, denied, unavailable as docker::resolve and docker::Engine say.
  Found look(const std::string& image, const ImageUse& use, std::stop_token stop) const;
  // Its build directory and Dockerfile must stay until it is made.
  Found look(const DockerBuild& build, const ImageUse& use, std::stop_token stop) const;

  docker::Credentials credentials(const std::string& registry, const ImageUse& use) const;

 private:
  Built accepted(const docker::Image& image, const docker::Reference& reference, const ImageUse& use) const;
  Leased here_or_refuse(const std::string& id) const;
  Found plan(const docker::Reference& reference, const ImageUse& use, std::stop_token stop) const;
  ImagePlan pull_of(const docker::RemoteImage& remote, const docker::Reference& reference, const ImageUse& use) const;
  ImagePlan pull_unseen(const docker::Reference& reference, const ImageUse& use) const;
  Leased pull(const docker::Reference& pinned, const docker::Reference& reference, bool foreign, const ImageUse& use,
              const docker::LineSink& log, std::stop_token stop) const;
  struct Base;
  Base base_of(const std::string& name, const ImageUse& use, std::stop_token stop) const;
  docker::Labels labels_of(const std::string& kind, const ImagePlan& plan, const std::string& canonical) const;
  Leased make(docker::BuildContext context, docker::BuildOptions options, const Digest& digest,
              const docker::LineSink& log, std::stop_token stop) const;
  docker::RemoteImage resolve(const docker::Reference& reference, const ImageUse& use, std::stop_token stop) const;

  const ImageSettings& settings_;
  const docker::Engine& engine_;
  ImageRecords& records_;
};

}  // namespace berth::environment
