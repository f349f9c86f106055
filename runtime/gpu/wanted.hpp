#pragma once

// Which CUDA software says that it wants: an image's environment and tag, conda's specs, pip's requirements.

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "runtime/gpu/requirement.hpp"
#include "runtime/gpu/version.hpp"

namespace berth::gpu {

// The toolkit is from `least` to `most`; nothing: unbounded. One exact version has both.
struct CudaRequirement {
  std::string by;  // "the image nvidia/cuda:12.4.1-base-ubuntu22.04", "conda's pytorch-cuda=12.1"
  std::optional<Version> least;
  std::optional<Version> most;
  std::vector<Requirement> requirements;  // an image's NVIDIA_REQUIRE_…: decide about the driver, all of them
  bool carries_compat = false;            // brings cuda-compat
};

// An image's environment, as its configuration has it.
using Variables = std::vector<std::pair<std::string, std::string>>;

// From NVIDIA_REQUIRE_…, else CUDA_VERSION, else the tag ("…-cuda12.4-…", "12.4.1-base-ubuntu22.04" of a
// repository called cuda). Nothing for an image without CUDA, or with NVIDIA_DISABLE_REQUIRE.
std::optional<CudaRequirement> wanted_by_image(const std::string& reference, const Variables& variables);

// Specs as in environment.yml, of which cuda-version, pytorch-cuda, cudatoolkit and cuda-compat count.
std::vector<CudaRequirement> wanted_by_conda(const std::vector<std::string>& specs);

// Lines of requirements.txt: local versions ("torch==2.4.0+cu121"), NVIDIA's and others' packages by CUDA
// ("nvidia-cuda-runtime-cu12==12.4.127", "cupy-cuda12x", "jax[cuda12]"), and PyTorch's indexes (".../whl/cu121").
std::vector<CudaRequirement> wanted_by_pip(const std::vector<std::string>& lines);

}  // namespace berth::gpu
