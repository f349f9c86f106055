#include "runtime/environment/image_choice.hpp"

#include <doctest/doctest.h>

#include "gpu_machine.hpp"
#include "runtime/base/error.hpp"
#include "runtime/environment/conda_recipe.hpp"
#include "runtime/environment/venv.hpp"

namespace environment = berth::environment;
namespace gpu = berth::gpu;
using berth::Code;
using berth::Error;

namespace {

environment::ImageSettings node() {
  environment::ImageSettings settings;
  settings.cpu_image = "debian:12";
  settings.gpu_images = {
      {{11, 8, 0}, "node/cuda:11.8"}, {{12, 2, 0}, "node/cuda:12.2"}, {{13, 0, 0}, "node/cuda:13.0"}};
  settings.machine = environment::test::gpu_machine;
  return settings;
}

template <class F>
Error failure_of(F act) {
  try {
    act();
  } catch (const Error& error) {
    return error;
  }
  throw std::runtime_error("it did not fail");
}

bool says(const Error& error, const std::string& text) { return error.describe().find(text) != std::string::npos; }

}  // namespace

TEST_CASE("cpu and gpu mean the node's default images, the GPU one the newest that its driver runs") {
  CHECK(environment::chosen_image("cpu", node()) == "debian:12");
  CHECK(environment::chosen_image("gpu", node()) == "node/cuda:12.2");
  CHECK(environment::chosen_image("my/image:1", node()) == "my/image:1");
  auto without = node();
  without.machine = [] { return gpu::Machine{}; };
  const auto error = failure_of([&] { environment::chosen_image("gpu", without); });
  CHECK(error.code() == Code::unsupported);
  CHECK(says(error, "no NVIDIA driver"));
  without.cpu_image.clear();
  CHECK(failure_of([&] { environment::chosen_image("cpu", without); }).code() == Code::unsupported);
}

TEST_CASE("a driver that answered before is waited for, where it would be asked") {
  auto away = node();
  away.machine = [] { return gpu::Machine{.driver = {}, .cuda = {}, .cards = {}, .driver_away = true}; };
  for (const auto& error : {failure_of([&] { environment::chosen_image("gpu", away); }), failure_of([&] {
                              environment::check_cuda("their/image:1", {"CUDA_VERSION=12.1.0"}, away);
                            })}) {
    CHECK(error.lack() == berth::Lack::driver);
    CHECK(says(error, "does not answer"));
  }
  environment::check_cuda("their/image:1", {"PATH=/bin"}, away);
  CHECK(environment::chosen_image("cpu", away) == "debian:12");
}

TEST_CASE("an image that needs a newer driver is refused with the driver and the newest image that fits") {
  environment::check_cuda("their/image:1", {"PATH=/bin", "CUDA_VERSION=12.1.0"}, node());
  environment::check_cuda("their/image:1", {"PATH=/bin"}, node());
  const auto error = failure_of([&] {
    environment::check_cuda("their/image:1", {"NVIDIA_REQUIRE_CUDA=cuda>=12.9", "CUDA_VERSION=12.9.0"}, node());
  });
  CHECK(error.code() == Code::unsupported);
  CHECK(says(error, "575.51.03"));
  CHECK(says(error, "node/cuda:12.2"));
  CHECK(environment::cuda_of({"PATH=/bin", "CUDA_VERSION=12.9.0"}) == "12.9.0");
  CHECK(environment::cuda_of({"X"}).empty());
}

TEST_CASE("a venv that needs a newer driver is refused too, by what it asks for alone, and without its logins") {
  const environment::Venvs venvs({}, std::nullopt);
  const auto wants = [&](const std::string& text) {
    return venvs.cuda({environment::kVenvKind, "", "r.txt", {{"r.txt", text}, {"unused.txt", "torch==2.9.0+cu130\n"}}});
  };
  environment::check_cuda(wants("torch==2.4.0+cu121\n"), node());
  for (const auto* line : {"torch==2.9.0+cu130", "--extra-index-url https://me:secret@host/whl/cu130\ntorch"}) {
    const auto error = failure_of([&] { environment::check_cuda(wants(line), node()); });
    CHECK(error.code() == Code::unsupported);
    CHECK(says(error, "580"));
    CHECK(!says(error, "secret"));
  }
}

TEST_CASE("a conda environment that needs a newer driver is refused too") {
  const environment::Condas condas({});
  const auto wants = [&](const std::string& text) {
    return condas.cuda({environment::kCondaKind, "", "e.yml", {{"e.yml", text}}});
  };
  environment::check_cuda(wants("dependencies: [python=3.11, cuda-version=12.1]"), node());
  const auto error =
      failure_of([&] { environment::check_cuda(wants("dependencies: [python=3.11, pytorch-cuda=13.0]"), node()); });
  CHECK(error.code() == Code::unsupported);
  CHECK(says(error, "580"));
  CHECK(failure_of([&] {
          environment::check_cuda(wants("dependencies: [python, pip, pip: [torch==2.9.0+cu130]]"), node());
        }).code() == Code::unsupported);
}
