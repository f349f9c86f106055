#pragma once

// Whether software built for some CUDA runs on this machine's driver and GPUs. Pure rules over tables.
//
// Sources: NVIDIA's CUDA toolkit release notes (toolkit and driver versions), the CUDA compatibility guide
// (minor-version and forward compatibility), and libnvidia-container, whose hook refuses to start a container
// whose NVIDIA_REQUIRE_… is not met. In short:
//   - A driver runs every toolkit up to its own CUDA.
//   - Minor-version compatibility: from CUDA 11 on also the later toolkits of the same major version, except
//     that PTX which a newer toolkit made is not compiled.
//   - Forward compatibility: on data-centre GPUs an image that carries cuda-compat brings its own driver
//     libraries, on the driver branches that NVIDIA keeps for it.
//   - A toolkit makes no code for GPUs that are newer than it or that it has dropped.

#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "runtime/gpu/version.hpp"
#include "runtime/gpu/wanted.hpp"

namespace berth::gpu {

// A kind of GPU of the machine.
struct Card {
  std::string name;    // "NVIDIA H100 80GB HBM3"
  Version capability;  // 9.0
  std::string brand;   // as libnvidia-container calls them: "tesla", "nvidia", "geforce", "quadrortx" …
};

struct Machine {
  std::optional<Version> driver;  // nothing: there is none
  std::optional<Version> cuda;    // the driver's, as NVML says; nothing: what the table says
  std::vector<Card> cards;
  bool driver_away = false;  // it answered before: what runs here will be known again
};

struct Compatible {
  std::vector<std::string> notes;  // what will work less well, in words
};

struct Mismatch {
  std::string what;  // what is wanted and why it cannot be had here, one sentence without a full stop
  std::string hint;  // what would fit
  std::optional<Version> driver_needed;  // the oldest that would do; nothing when no driver would
  std::optional<Version> newest_cuda;    // that this machine runs; nothing for none
};

using Verdict = std::variant<Compatible, Mismatch>;

// A default base image, from the node's configuration.
struct BaseImage {
  Version cuda;
  std::string reference;
};

// Against every card of the machine, since a job may get any: the first mismatch, or the notes of all. Only for
// jobs that ask for GPUs. `images`: those that a hint may name.
Verdict judge(const CudaRequirement& wanted, const Machine& machine, const std::vector<BaseImage>& images = {});
// The first mismatch of several wishes, or the notes of all.
Verdict judge(const std::vector<CudaRequirement>& wanted, const Machine& machine,
              const std::vector<BaseImage>& images = {});

// The newest CUDA that the driver has itself and all cards are supported by; nothing without a driver.
std::optional<Version> newest_cuda(const Machine& machine);
// The newest image that runs here, without regard to minor-version compatibility if there is any such; else with
// it. Nothing when none does.
std::optional<BaseImage> newest_image(const std::vector<BaseImage>& images, const Machine& machine);

// The oldest driver that has this CUDA itself, by the table; for one between two rows the later one's. Nothing
// for a CUDA newer than the table.
std::optional<Version> driver_for(const Version& cuda);
// GPUs for which NVIDIA supports forward compatibility.
bool is_data_centre(const Card& card);

}  // namespace berth::gpu
