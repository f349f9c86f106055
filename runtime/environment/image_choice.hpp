#pragma once

// Which image is meant, and whether it runs on this machine's GPUs. Pure.

#include <string>
#include <vector>

#include "runtime/environment/image_settings.hpp"
#include "runtime/gpu/wanted.hpp"

namespace berth::environment {

// "cpu" and "gpu" through the configured defaults, anything else as it is. Code::unsupported where there is no such
// default, or none that runs here.
std::string chosen_image(const std::string& asked, const ImageSettings& settings);

// What is wanted of CUDA, against the machine. Code::unsupported with the driver that is needed and the newest
// configured image that would run.
void check_cuda(const std::vector<gpu::CudaRequirement>& wanted, const ImageSettings& settings);
// What the image itself wants. `environment`: the image's, as NAME=VALUE.
void check_cuda(const std::string& image, const std::vector<std::string>& environment, const ImageSettings& settings);

// Which CUDA the image says that it has: "12.4.1"; "" for none.
std::string cuda_of(const std::vector<std::string>& environment);

}  // namespace berth::environment
