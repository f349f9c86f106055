#pragma once

// A conda environment within an image: what the engine is given to build it, and how what came of it gets out. The
// recipe (conda_recipe.hpp) runs inside, with the image's own micromamba, mamba or conda, or else with a static
// micromamba of the node's. Pure.

#include <map>
#include <string>
#include <string_view>

#include "runtime/docker/progress.hpp"
#include "runtime/environment/image_settings.hpp"
#include "runtime/environment/recipe.hpp"
#include "runtime/environment/spec.hpp"

namespace berth::environment {

// Where the environment is in the image.
inline constexpr const char* kImagePrefix = "/opt/berth/env";
// The build argument that makes each build solve anew: its value must be another each time.
inline constexpr const char* kBuildArgument = "BERTH_BUILD";

struct ImageConda {
  std::string words;      // of the environment: "conda environment (python=3.11, numpy)"
  std::string canonical;  // of it alone, without the image
  bool secret = false;    // `files` hold credentials, so no layer of the image may keep them
  std::map<std::string, std::string> files;  // the build's context, with its Dockerfile
};

// `base`: the image's id. `cuda`: the version that it has, which conda would otherwise not see during the build, for
// there is no driver then; "" for none. `micromamba`: the node's program itself, "" for none. Code::invalid as
// conda_recipe.
ImageConda image_conda(const Conda& conda, const std::string& base, const std::string& cuda,
                       const std::string& micromamba, const NodeConda& node);
// A lock's "conda" member instead of a file.
ImageConda image_conda_of_lock(const std::string& lock, const std::string& base, const std::string& cuda,
                               const std::string& micromamba, const NodeConda& node);

// The Dockerfile of the image that is kept: `made` as it is, or `base` with nothing of `made` but the environment.
std::string final_dockerfile(const std::string& base, const std::string& made, bool secret);

// Between a build and its log: takes out the lines by which the build tells its result.json.
class ImageCondaOutput {
 public:
  explicit ImageCondaOutput(const docker::LineSink& log) : log_(log) {}
  void take(std::string_view line);
  const std::string& result() const { return result_; }

 private:
  const docker::LineSink& log_;
  std::string result_;
};

// Whether a program needs no library of the image it is put into.
bool is_static_program(std::string_view elf);

}  // namespace berth::environment
