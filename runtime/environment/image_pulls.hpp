#pragma once

// Images as registries and the engine have them. Looking costs one call to the engine for what is here; for what is
// not, a few round trips to the registry, which tell the digest and whether it would run here before any layer
// travels. Every call blocks. Thread-safe.

#include <stop_token>
#include <string>
#include <vector>

#include "runtime/docker/engine.hpp"
#include "runtime/docker/registry.hpp"
#include "runtime/environment/image_plan.hpp"
#include "runtime/environment/image_records.hpp"
#include "runtime/environment/image_settings.hpp"

namespace berth::environment {

class ImagePulls {
 public:
  ImagePulls(const ImageSettings& settings, const docker::Engine& engine, ImageRecords& records);

  // A reference, "cpu" or "gpu", or the id of an image that was built. Throws Error: Code::unsupported for what does
  // not run on this machine; not_found, denied, unavailable as docker::resolve and docker::Engine say.
  Found look(const std::string& image, const ImageUse& use, std::stop_token stop) const;

  // What a Dockerfile builds upon, pulled or not.
  struct Base {
    std::string id;  // "" where the engine alone can tell
    std::vector<std::string> environment;
    std::vector<std::string> private_names{};  // as of ImageRecords
    bool here = false;
  };
  // Code::denied where it is private, and its registry does not let this job have it.
  Base base(const std::string& image, const ImageUse& use, std::stop_token stop) const;

  // Of a build that goes on: what the engine says that it has taken for a base. Throws where the job may not have it
  // (`approved`: the private images that its registry lets it have), and remembers as private what came with its own
  // credentials.
  void check_base(const std::string& reference, bool fetched, const ImageUse& use,
                  const std::vector<std::string>& approved) const;

  // The job's own, else the node's.
  docker::Credentials credentials(const std::string& registry, const ImageUse& use) const;

 private:
  Built accepted(const docker::Image& image, const docker::Reference& reference, const ImageUse& use) const;
  // As of ImageRecords, but private images only for whom their registry lets have them.
  std::optional<Leased> take(const std::string& name, const ImageRecords::Read& read, const ImageUse& use,
                             const std::stop_token& stop) const;
  void ask_for(const std::vector<std::string>& private_names, const ImageUse& use, const std::stop_token& stop) const;
  Leased here_or_refuse(const std::string& id, const ImageUse& use, const std::stop_token& stop) const;
  Found plan(const docker::Reference& reference, const ImageUse& use, std::stop_token stop) const;
  ImagePlan pull_of(const docker::RemoteImage& remote, const docker::Reference& reference, const ImageUse& use) const;
  ImagePlan pull_unseen(const docker::Reference& reference, const ImageUse& use) const;
  Leased pull(const docker::Reference& pinned, const docker::Reference& reference, bool foreign, const ImageUse& use,
              const docker::LineSink& log, std::stop_token stop) const;
  docker::RemoteImage resolve(const docker::Reference& reference, const ImageUse& use, std::stop_token stop) const;

  const ImageSettings& settings_;
  const docker::Engine& engine_;
  ImageRecords& records_;
  std::string salt_;  // so that what is named by credentials does not tell of them
};

}  // namespace berth::environment
