#include "runtime/gpu/cuda.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <map>

using namespace berth::gpu;

namespace {

const Card kH100{"NVIDIA H100 80GB HBM3", {9, 0, 0}, "nvidia"};
const Card kA100{"NVIDIA A100-SXM4-80GB", {8, 0, 0}, "nvidia"};
const Card kV100{"Tesla V100-SXM2-16GB", {7, 0, 0}, "tesla"};
const Card kK80{"Tesla K80", {3, 7, 0}, "tesla"};
const Card k4090{"NVIDIA GeForce RTX 4090", {8, 9, 0}, "geforcertx"};
const Card k1080{"NVIDIA GeForce GTX 1080", {6, 1, 0}, "geforce"};
const Card kB200{"NVIDIA B200", {10, 0, 0}, "nvidia"};

Machine machine(const char* driver, const Card& card) {
  return {.driver = parse_version(driver), .cuda = std::nullopt, .cards = {card}};
}

// As NVIDIA's images have it, shortened to three brands.
std::string required(const std::string& cuda, const std::vector<int>& branches) {
  auto text = "cuda>=" + cuda;
  for (const int branch : branches)
    for (const char* brand : {"tesla", "nvidia", "geforcertx"})
      text += " brand=" + std::string(brand) + ",driver>=" + std::to_string(branch) + ",driver<" +
              std::to_string(branch + 1);
  return text;
}

struct Software {
  std::optional<CudaRequirement> image;
  std::vector<CudaRequirement> packages;
};

// What stands in the matrix below.
std::map<std::string, Software> software() {
  const auto image = [](const std::string& reference, Variables variables) {
    return Software{wanted_by_image(reference, variables), {}};
  };
  const auto pip = [](const std::string& line) { return Software{std::nullopt, wanted_by_pip({line})}; };
  const auto conda = [](const std::string& spec) { return Software{std::nullopt, wanted_by_conda({spec})}; };
  return {
      {"cuda10.2", image("old:1", {{"CUDA_VERSION", "10.2.89"}})},
      {"cuda11.8",
       image("nvidia/cuda:11.8.0-base-ubuntu22.04", {{"CUDA_VERSION", "11.8.0"},
                                                     {"NV_CUDA_COMPAT_PACKAGE", "cuda-compat-11-8"},
                                                     {"NVIDIA_REQUIRE_CUDA", required("11.8", {450, 470, 510, 515})}})},
      {"cuda12.4",
       image("nvidia/cuda:12.4.1-base-ubuntu22.04", {{"CUDA_VERSION", "12.4.1"},
                                                     {"NV_CUDA_COMPAT_PACKAGE", "cuda-compat-12-4"},
                                                     {"NVIDIA_REQUIRE_CUDA", required("12.4", {470, 525, 535})}})},
      {"tag12.8", image("mcr.microsoft.com/azureml/openmpi5.0-cuda12.8-ubuntu24.04:20260101.v1", {})},
      {"cuda13.0", image("own:cuda13", {{"CUDA_VERSION", "13.0.1"}})},
      {"cu113", pip("torch==1.12.0+cu113")},
      {"cu118", pip("torch==2.1.0+cu118")},
      {"cu121", pip("torch==2.4.0+cu121")},
      {"cu128", pip("torch==2.8.0+cu128")},
      {"-cu12", pip("nvidia-cublas-cu12==12.1.3.1")},
      {"-cu13", pip("nvidia-cublas-cu13")},
      {"conda12.6", conda("cuda-version=12.6")},
      {"conda11", conda("pytorch-cuda=11.7")},
  };
}

// "ok", "minor", "forward", "older" (code of an older capability), or "no: 550.54.14", "no" where no driver would do.
std::string outcome(const Verdict& verdict) {
  if (const auto* mismatch = std::get_if<Mismatch>(&verdict))
    return mismatch->driver_needed ? "no: " + driver_text(*mismatch->driver_needed) : "no";
  std::string words;
  for (const auto& note : std::get<Compatible>(verdict).notes) {
    if (note.find("minor-version") != std::string::npos) words += "minor ";
    if (note.find("forward") != std::string::npos) words += "forward ";
    if (note.find("code for compute capability") != std::string::npos) words += "older ";
  }
  if (words.empty()) return "ok";
  words.pop_back();
  return words;
}

struct Row {
  const char* driver;
  Card card;
  std::map<std::string, std::string> outcomes;  // by software
};

const std::vector<Row> kMatrix{
    {"525.60.13",
     kH100,
     {{"cuda10.2", "no"},
      {"cuda11.8", "ok"},
      {"cuda12.4", "minor"},
      {"tag12.8", "minor"},
      {"cuda13.0", "no: 580.65.06"},
      {"cu113", "no"},
      {"cu118", "ok"},
      {"cu121", "minor"},
      {"cu128", "minor"},
      {"-cu12", "ok"},
      {"-cu13", "no: 580.65.06"},
      {"conda12.6", "minor"},
      {"conda11", "no"}}},
    {"470.223.02",
     kA100,
     {{"cuda10.2", "no"},
      {"cuda11.8", "minor"},
      {"cuda12.4", "forward"},
      {"tag12.8", "no: 570.26"},
      {"cuda13.0", "no: 580.65.06"},
      {"cu113", "ok"},
      {"cu118", "minor"},
      {"cu121", "no: 530.30.02"},
      {"-cu12", "no: 525.60.13"},
      {"conda11", "minor"}}},
    {"545.23.06",  // a branch that the image does not name: the hook refuses it
     kA100,
     {{"cuda12.4", "no: 550.54.14"}, {"cu121", "ok"}, {"cu128", "minor"}}},
    {"535.54.03",
     k4090,
     {{"cuda10.2", "no"},
      {"cuda11.8", "ok"},
      {"cuda12.4", "minor"},
      {"tag12.8", "minor"},
      {"cuda13.0", "no: 580.65.06"},
      {"cu113", "older"},
      {"cu118", "ok"},
      {"cu121", "ok"},
      {"conda11", "older"}}},
    {"470.223.02",
     k4090,
     {{"cuda12.4", "no: 550.54.14"},  // forward compatibility is for data centres
      {"cu118", "minor"},
      {"cu121", "no: 530.30.02"}}},
    {"580.65.06",
     kV100,
     {{"cuda10.2", "ok"}, {"cuda12.4", "ok"}, {"tag12.8", "ok"}, {"cuda13.0", "no"}, {"-cu13", "no"}, {"cu128", "ok"}}},
    {"440.33.01", kV100, {{"cuda10.2", "ok"}, {"cuda11.8", "no: 520.61.05"}, {"cu113", "no: 465.19.01"}}},
    {"470.223.02",
     kK80,
     {{"cuda10.2", "ok"},
      {"cu113", "ok"},
      {"cuda11.8", "minor"},
      {"cuda12.4", "no"},
      {"-cu12", "no"},
      {"cu121", "no"}}},
    {"575.51.03", k1080, {{"cuda12.4", "ok"}, {"conda12.6", "ok"}, {"cuda13.0", "no"}}},
    {"570.26",
     kB200,
     {{"cuda11.8", "no"},
      {"cuda12.4", "no"},
      {"tag12.8", "ok"},
      {"cuda13.0", "no: 580.65.06"},
      {"cu121", "no"},
      {"cu128", "ok"},
      {"-cu12", "ok"},
      {"conda12.6", "no"}}},
    {"595.45.04", kB200, {{"cuda13.0", "ok"}, {"cu128", "ok"}, {"cuda12.4", "no"}, {"-cu13", "ok"}}},
};

Mismatch mismatch(const Verdict& verdict) {
  const auto* found = std::get_if<Mismatch>(&verdict);
  REQUIRE(found != nullptr);
  return *found;
}

const std::vector<BaseImage> kImages{{{12, 4, 0}, "base:cuda12.4"},
                                     {{12, 6, 0}, "base:cuda12.6"},
                                     {{12, 8, 0}, "base:cuda12.8"},
                                     {{13, 1, 0}, "base:cuda13.1"}};

std::string newest(const Machine& machine) {
  const auto image = newest_image(kImages, machine);
  return image ? image->reference : "none";
}

}  // namespace

TEST_CASE("driver × image × wheel") {
  const auto all = software();
  for (const auto& row : kMatrix) {
    for (const auto& [name, expected] : row.outcomes) {
      CAPTURE(row.driver);
      CAPTURE(row.card.name);
      CAPTURE(name);
      const auto& wanted = all.at(name);
      REQUIRE((wanted.image || !wanted.packages.empty()));
      const auto verdict = wanted.image ? judge(*wanted.image, machine(row.driver, row.card))
                                        : judge(wanted.packages, machine(row.driver, row.card));
      CHECK(outcome(verdict) == expected);
    }
  }
}

TEST_CASE("a driver too old is told with the driver needed and what would fit") {
  const auto wanted = wanted_by_image("own:1", {{"CUDA_VERSION", "13.0.1"}});
  const auto found = mismatch(judge(*wanted, machine("535.54.03", kA100), kImages));
  CHECK(found.what ==
        "the image own:1 wants CUDA 13.0, for which the NVIDIA driver must be 580.65.06 or newer; this machine has "
        "driver 535.54.03, which has CUDA 12.2");
  CHECK(found.hint ==
        "the newest CUDA that this machine has is 12.2; the image base:cuda12.8 would fit; or update the driver to "
        "580.65.06");
  CHECK(found.newest_cuda == Version{12, 2, 0});
}

TEST_CASE("a GPU is never told to take a driver that does not know it any more") {
  const auto found = mismatch(judge(wanted_by_pip({"torch==1.9+cu115"}), machine("440.33.01", kK80)));
  CHECK(found.driver_needed == Version{450, 80, 2});  // 495.29.05 has CUDA 11.5 itself, but Kepler ends at 470
}

TEST_CASE("a toolkit older or newer than the GPU is told with the GPU") {
  CHECK(mismatch(judge(wanted_by_pip({"torch==2.4.0+cu121"}), machine("580.65.06", kB200), kImages)).what ==
        "pip's torch==2.4.0+cu121 wants CUDA 12.1, which is older than this machine's NVIDIA B200 (Blackwell, compute "
        "capability 10.0): the first for it is CUDA 12.8");
  const auto dropped = mismatch(judge(wanted_by_conda({"cuda-version=13.0"}), machine("580.65.06", kV100), kImages));
  CHECK(dropped.what ==
        "conda's cuda-version=13.0 wants CUDA 13.0, which has dropped this machine's Tesla V100-SXM2-16GB (Volta, "
        "compute capability 7.0): the last for it is CUDA 12");
  CHECK(dropped.hint == "the newest CUDA that this machine has is 12.9; the image base:cuda12.8 would fit");
}

TEST_CASE("without a driver everything is a mismatch") {
  const auto found = mismatch(judge(wanted_by_pip({"torch==2.4.0+cu121"}), Machine{}));
  CHECK(found.what == "pip's torch==2.4.0+cu121 wants CUDA 12.1; this machine has no NVIDIA driver");
  CHECK(found.hint == "install the NVIDIA driver, 530.30.02 or newer");
  CHECK(newest(Machine{}) == "none");
}

TEST_CASE("the default image is the newest that the driver runs by itself") {
  CHECK(newest(machine("550.54.14", kH100)) == "base:cuda12.4");
  CHECK(newest(machine("565.57.01", kH100)) == "base:cuda12.6");
  CHECK(newest(machine("570.26", kH100)) == "base:cuda12.8");
  CHECK(newest(machine("580.65.06", kH100)) == "base:cuda12.8");
  CHECK(newest(machine("595.45.04", kH100)) == "base:cuda13.1");
  CHECK(newest(machine("595.45.04", kB200)) == "base:cuda13.1");
  CHECK(newest(machine("580.65.06", kV100)) == "base:cuda12.8");
  CHECK(newest(machine("535.54.03", kA100)) == "base:cuda12.8");  // by minor-version compatibility
  CHECK(newest(machine("470.223.02", kA100)) == "none");
}

TEST_CASE("NVML's word on the driver's CUDA goes before the table's, for drivers newer than it") {
  auto future = machine("700.10.00", kB200);
  const auto wanted = wanted_by_image("own:1", {{"CUDA_VERSION", "15.1"}});
  CHECK(mismatch(judge(*wanted, future)).driver_needed == std::nullopt);
  future.cuda = Version{15, 2, 0};
  CHECK(outcome(judge(*wanted, future)) == "ok");
}

TEST_CASE("every card of the machine must do, for a job may get any") {
  auto mixed = machine("580.65.06", kH100);
  mixed.cards.push_back(kV100);
  const auto wanted = wanted_by_conda({"cuda-version=13.0"});
  CHECK(outcome(judge(wanted, machine("580.65.06", kH100))) == "ok");
  CHECK(outcome(judge(wanted, mixed)) == "no");
}
