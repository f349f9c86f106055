#pragma once

// The GPUs of this machine, by NVIDIA's management library, which is loaded when first asked. Blocking; safe from
// any thread; never fatal: a machine without the library or the driver has no GPUs, and a GPU that does not answer
// is withheld, each with the reason in words.

#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>

#include "runtime/gpu/gpu.hpp"

namespace berth::gpu {

namespace nvml {
class Session;
}

struct NvmlSettings {
  std::string library = "libnvidia-ml.so.1";  // a name for the loader, or a path
  // Where the driver tells which device nodes MIG instances have.
  std::string capabilities = "/proc/driver/nvidia/capabilities";
};

class Nvml {
 public:
  explicit Nvml(NvmlSettings settings = {});
  Nvml(const Nvml&) = delete;
  Nvml& operator=(const Nvml&) = delete;
  ~Nvml();

  // All GPUs as they are now. A GPU that was there once and does not answer any more stays listed, withheld; so
  // does one after an Xid that is not a program's fault, until forgive(), or until another driver is loaded. Takes
  // milliseconds per GPU, the first time up to seconds.
  Survey survey();
  // The operator says that a GPU is well again. One that does not answer any more is forgotten.
  void forgive(const std::string& uuid);
  // What an earlier one saw, before the first survey: as if this one had seen it. `known`: GPUs that there were, by
  // which those that are gone are told, and the others keep their numbers.
  void recall(std::vector<Gpu> known, std::map<std::string, Trouble> troubles);

 private:
  void keep_numbers(Survey& survey) const;
  void withhold_troubled(Survey& survey);
  void add_lost(Survey& survey, const std::set<std::string>& answered);

  const NvmlSettings settings_;
  std::mutex mutex_;
  std::unique_ptr<nvml::Session> session_;  // nothing while NVML is not there
  std::vector<Gpu> known_;  // by the last survey
  std::map<std::string, Trouble> troubles_;  // by whole GPU
};

}  // namespace berth::gpu
