#pragma once

// Images that Berth builds: of a Dockerfile, or of an image with a conda environment on top. They are tagged
// "berth/env:…" by the digest of what goes into them, and their labels tell all that a record does. Every call blocks.
// Thread-safe.

#include <stop_token>
#include <string>

#include "runtime/docker/engine.hpp"
#include "runtime/environment/image_conda.hpp"
#include "runtime/environment/image_plan.hpp"
#include "runtime/environment/image_pulls.hpp"
#include "runtime/environment/image_records.hpp"
#include "runtime/environment/image_settings.hpp"
#include "runtime/environment/spec.hpp"

namespace berth::environment {

class ImageBuilds {
 public:
  ImageBuilds(const ImageSettings& settings, const docker::Engine& engine, ImageRecords& records,
              const ImagePulls& pulls);

  // Its directory must stay as it is while it is held. Throws as BuildContext::of_directory and ImagePulls::look.
  Found look(const DockerBuild& build, const ImageUse& use, std::stop_token stop) const;
  // On top of the image `base`, which is here and held until this is built. Throws as conda_recipe.
  Found look(const Conda& conda, const Leased& base, const ImageUse& use) const;
  Found look_locked(const std::string& conda_lock, const Leased& base, const ImageUse& use) const;

 private:
  struct Identity;
  docker::Labels labels_of(const Identity& identity, const ImagePlan& plan) const;
  ImagePlan plan_of(const Identity& identity, std::string words) const;
  docker::BuildOptions options() const;
  Found look_conda(const ImageConda& inside, const Leased& base, const ImageUse& use) const;
  Leased make_conda(const ImageConda& inside, const std::string& base, const ImagePlan& plan,
                    const docker::LineSink& log, std::stop_token stop) const;
  Leased finish(const std::string& id, const ImagePlan& plan, const docker::Labels& labels) const;
  std::string micromamba() const;

  const ImageSettings& settings_;
  const docker::Engine& engine_;
  ImageRecords& records_;
  const ImagePulls& pulls_;
};

}  // namespace berth::environment
