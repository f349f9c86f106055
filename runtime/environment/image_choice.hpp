#pragma once

// Which image is meant, and whether it runs on this machine's GPUs. Pure.

#include <string>
#include <vector>

#include "runtime/environment/image_settings.hpp"
#include "runtime/environment/spec.hpp"

namespace berth::environment {

// "cpu" and "gpu" through the configured defaults, anything else as it is. Code::unsupported where there is no such
// default, or none that runs here.
std::string chosen_image(const std::string& asked, const ImageSettings& settings);

// What the image itself, and the conda environment that goes on top of it, want of CUDA, against the machine.
// Code::unsupported with the driver that is needed and the newest configured image that would run.
// `environment`: the image's, as NAME=VALUE.
void check_cuda(const std::string& image, const std::vector<std::string>& environment, const ImageSettings& settings);
void check_cuda(const Conda& conda, const ImageSettings& settings);
// The same for what a Venv's files name.
void check_cuda(const Venv& venv, const ImageSettings& settings);

// Which CUDA the image says that it has: "12.4.1"; "" for none.
std::string cuda_of(const std::vector<std::string>& environment);

}  // namespace berth::environment
