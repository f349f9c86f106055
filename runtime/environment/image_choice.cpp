#include "runtime/environment/image_choice.hpp"

#include "runtime/base/error.hpp"

namespace berth::environment {
namespace {

std::string default_cpu_image(const ImageSettings& settings) {
  if (!settings.cpu_image.empty()) return settings.cpu_image;
  throw Error(Code::unsupported, "this node has no default image for \"cpu\"",
              "name an image, or have one set in the agent's configuration");
}

// Nothing is said of a driver that does not answer at the moment.
gpu::Machine machine_of(const ImageSettings& settings) {
  auto machine = settings.machine();
  if (machine.driver_away)
    throw Error(Code::unavailable, "the NVIDIA driver does not answer any more",
                "load it again, or reboot; nvidia-smi shows whether it works")
        .for_lack_of(Lack::driver);
  return machine;
}

std::string default_gpu_image(const ImageSettings& settings) {
  if (settings.gpu_images.empty())
    throw Error(Code::unsupported, "this node has no default images for \"gpu\"",
                "name an image, or have some set in the agent's configuration");
  const auto machine = machine_of(settings);
  if (!machine.driver)
    throw Error(Code::unsupported, "there is no default image for \"gpu\" here: this machine has no NVIDIA driver",
                "use \"cpu\", or install the NVIDIA driver");
  if (const auto newest = gpu::newest_image(settings.gpu_images, machine)) return newest->reference;
  const auto runs = gpu::newest_cuda(machine);
  throw Error(
      Code::unsupported,
      "none of the default images for \"gpu\" runs on this machine's driver " + gpu::driver_text(*machine.driver),
      runs ? "have one with CUDA " + gpu::to_text(*runs) + " or older set in the agent's configuration"
           : "install a newer driver");
}

// NAME=VALUE, cut.
gpu::Variables pairs_of(const std::vector<std::string>& environment) {
  gpu::Variables pairs;
  for (const auto& entry : environment) {
    const auto equals = std::min(entry.find('='), entry.size());
    pairs.emplace_back(entry.substr(0, equals), entry.substr(std::min(equals + 1, entry.size())));
  }
  return pairs;
}

}  // namespace

std::string chosen_image(const std::string& asked, const ImageSettings& settings) {
  if (asked == "cpu") return default_cpu_image(settings);
  if (asked == "gpu") return default_gpu_image(settings);
  return asked;
}

void check_cuda(const std::vector<gpu::CudaRequirement>& wanted, const ImageSettings& settings) {
  if (wanted.empty()) return;
  const auto machine = machine_of(settings);
  const auto verdict = gpu::judge(wanted, machine, settings.gpu_images);
  const auto* mismatch = std::get_if<gpu::Mismatch>(&verdict);
  if (mismatch == nullptr) return;
  auto hint = mismatch->hint;
  const auto fits = gpu::newest_image(settings.gpu_images, machine);
  if (fits && hint.find(fits->reference) == std::string::npos)
    hint += (hint.empty() ? "" : "; ") + ("the newest default image that runs here is " + fits->reference);
  throw Error(Code::unsupported, mismatch->what, std::move(hint));
}

void check_cuda(const std::string& image, const std::vector<std::string>& environment, const ImageSettings& settings) {
  if (const auto wanted = gpu::wanted_by_image(image, pairs_of(environment))) check_cuda({*wanted}, settings);
}

std::string cuda_of(const std::vector<std::string>& environment) {
  for (const auto& [name, value] : pairs_of(environment))
    if (name == "CUDA_VERSION") return value;
  return {};
}

}  // namespace berth::environment
