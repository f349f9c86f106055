#include "runtime/gpu/wanted.hpp"

#include <doctest/doctest.h>

using namespace berth::gpu;

namespace {

std::string range(const CudaRequirement& wanted) {
  const auto text = [](const std::optional<Version>& version) { return version ? to_text(*version) : "any"; };
  return wanted.least == wanted.most ? text(wanted.least) : text(wanted.least) + ".." + text(wanted.most);
}

std::string range(const std::vector<CudaRequirement>& all) {
  std::string text;
  for (const auto& wanted : all) text += (text.empty() ? "" : ", ") + range(wanted);
  return text;
}

std::string image(const std::string& reference, const Variables& variables = {}) {
  const auto wanted = wanted_by_image(reference, variables);
  return wanted ? range(*wanted) : "";
}

std::string conda(const std::string& spec) { return range(wanted_by_conda({spec})); }

std::string pip(const std::string& line) { return range(wanted_by_pip({line})); }

}  // namespace

TEST_CASE("versions are read from the beginning of text, and written as NVIDIA does") {
  CHECK(parse_version("12") == Version{12, 0, 0});
  CHECK(parse_version("12.4.131-1") == Version{12, 4, 131});
  CHECK(parse_version("535.54.03") == Version{535, 54, 3});
  CHECK(parse_version("12.") == Version{12, 0, 0});
  CHECK_FALSE(parse_version(""));
  CHECK_FALSE(parse_version("v12"));
  CHECK_FALSE(parse_version("-1.2"));
  CHECK_FALSE(parse_version("99999999999999999999"));
  CHECK(driver_text({535, 54, 3}) == "535.54.03");
  CHECK(driver_text({570, 26, 0}) == "570.26");
  CHECK(driver_text({470, 0, 0}) == "470");
  CHECK(to_text({12, 4, 1}) == "12.4");
}

TEST_CASE("an image tells its CUDA by requirement, variable or tag, and may ask not to be checked") {
  CHECK(image("x", {{"CUDA_VERSION", "12.4.1"}, {"NVIDIA_REQUIRE_CUDA", "cuda>=12.0"}}) == "12.4");
  CHECK(image("x", {{"NVIDIA_REQUIRE_CUDA", "brand=tesla,driver>=470 cuda>=11.4"}}) == "11.4");
  CHECK(image("x", {{"NVIDIA_REQUIRE_CUDA", "driver>=470"}}) == "any");
  CHECK(image("x", {{"CUDA_VERSION", "12.4.1"}, {"NVIDIA_DISABLE_REQUIRE", "1"}}).empty());
  CHECK(image("x", {{"CUDA_VERSION", "12.4.1"}, {"NVIDIA_DISABLE_REQUIRE", "true"}}).empty());
  CHECK(image("x", {{"CUDA_VERSION", "12.4.1"}, {"NVIDIA_DISABLE_REQUIRE", "0"}}) == "12.4");
  CHECK(image("mcr.microsoft.com/azureml/openmpi4.1.0-cuda11.3-cudnn8-ubuntu20.04") == "11.3");
  CHECK(image("nvidia/cuda:12.4.1-base-ubuntu22.04@sha256:00") == "12.4");
  CHECK(image("pytorch/pytorch:2.4.0-cuda12.1-cudnn9-runtime") == "12.1");
  CHECK(image("own/torch:2.4-cu121") == "12.1");
  CHECK(image("ubuntu:22.04").empty());
  CHECK(image("barracuda:2").empty());
  CHECK(image(std::string(100'000, 'c')).empty());
}

TEST_CASE("conda's specs give a range") {
  CHECK(conda("cuda-version=12.4") == "12.4");
  CHECK(conda("cuda-version==12.4") == "12.4");
  CHECK(conda("cuda-version 12.4.*") == "12.4");
  CHECK(conda("cuda-version=12") == "12.0..12.99");
  CHECK(conda("cuda-version 12.*") == "12.0..12.99");
  CHECK(conda("cuda-version >=12.0,<12.5") == "12.0..12.4");
  CHECK(conda("cuda-version >=11,<13") == "11.0..12.99");
  CHECK(conda("cuda-version>=12") == "12.0..any");
  CHECK(conda("cuda-version <=12.4") == "any..12.4");
  CHECK(conda("pytorch::pytorch-cuda=11.8") == "11.8");
  CHECK(conda("nvidia/linux-64::pytorch-cuda = 12.1") == "12.1");
  CHECK(conda("cudatoolkit=11.3.1=h2bc3f7f_2") == "11.3");
  CHECK(conda("cudatoolkit").empty());
  CHECK(conda("cudatoolkit-dev=11.3").empty());
  CHECK(conda("numpy=1.26").empty());
  CHECK(conda("cuda-version=!?").empty());
  CHECK(wanted_by_conda({"cuda-version=12.4", "cuda-compat"}).at(0).carries_compat);
}

TEST_CASE("pip's requirements tell CUDA by local version, name, extra or index") {
  CHECK(pip("torch==2.4.0+cu121") == "12.1");
  CHECK(pip("torch==1.8.1+cu92  # old") == "9.2");
  CHECK(pip("torch == 1.9+cu102 ; sys_platform == 'linux'") == "10.2");
  CHECK(pip("torch==2.9.0+cu130") == "13.0");
  CHECK(pip("nvidia-cublas-cu12==12.1.3.1") == "12.0..12.99");
  CHECK(pip("nvidia-cuda-runtime-cu12 == 12.4.127") == "12.4");
  CHECK(pip("cupy-cuda12x") == "12.0..12.99");
  CHECK(pip("cupy-cuda102>=12") == "10.2");
  CHECK(pip("jax[cuda12]>=0.4") == "12.0..12.99");
  CHECK(pip("jax[cuda13-local]") == "13.0..13.99");
  CHECK(pip("--extra-index-url https://download.pytorch.org/whl/cu118") == "11.8");
  CHECK(pip("--index-url=https://download.pytorch.org/whl/cu126/") == "12.6");
  CHECK(pip("torch==2.4.0+cpu").empty());
  CHECK(pip("torch==2.4.0").empty());
  CHECK(pip("# torch==2.4.0+cu121").empty());
  CHECK(pip("").empty());
  CHECK(pip("acu==1").empty());
  CHECK(pip("https://example.org/cucumber/cu121x").empty());
  CHECK(pip(std::string(200'000, 'a') + "+cu121").empty());
  CHECK(range(wanted_by_pip({"numpy", "torch==2.4.0+cu121", "cupy-cuda12x"})) == "12.1, 12.0..12.99");
}

TEST_CASE("a requirement is any of its alternatives, and all of one's conditions") {
  const Facts h100{{12, 2, 0}, {535, 54, 3}, {9, 0, 0}, "nvidia"};
  const auto met = [&](const char* text) { return is_met(parse_requirement(text), h100); };
  CHECK(met(""));
  CHECK(met("cuda>=12.2"));
  CHECK_FALSE(met("cuda>=12.4"));
  CHECK(met("cuda>=12.4 brand=tesla,driver>=535,driver<536 brand=nvidia,driver>=535,driver<536"));
  CHECK_FALSE(met("cuda>=12.4 brand=tesla,driver>=535,driver<536"));
  CHECK_FALSE(met("brand=nvidia,driver>=470,driver<471"));
  CHECK(met("arch>=7.0,arch!=8.0"));
  CHECK(met("cuda>12.1,cuda<12.3,cuda<=12.2,cuda=12.2"));
  CHECK(met("brand!=geforce"));
  CHECK_FALSE(met("colour=red"));
  CHECK_FALSE(met("cuda"));
  CHECK_FALSE(met("cuda>=x"));
  CHECK_FALSE(met("cuda=>12"));
}
