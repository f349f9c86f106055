#pragma once

// A GPU of this machine as it was seen at one moment: values only.

#include <sys/types.h>

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "runtime/base/units.hpp"
#include "runtime/gpu/version.hpp"

namespace berth::gpu {

struct Process {
  pid_t pid = 0;
  std::optional<ByteSize> memory;  // nothing: the driver does not tell
  friend bool operator==(const Process&, const Process&) = default;
};

struct Mig {
  std::string parent;   // UUID of the GPU that it is a part of
  std::string profile;  // "1g.10gb"
  friend bool operator==(const Mig&, const Mig&) = default;
};

// Something that can be handed to a job: a whole GPU, or an instance of one that is in MIG mode (which itself is
// not listed then).
struct Gpu {
  std::string uuid;    // "GPU-…" or "MIG-…", as CUDA_VISIBLE_DEVICES takes them
  unsigned index = 0;  // NVML's when it was first seen; of an instance, its parent's
  std::string name;    // "NVIDIA H100 80GB HBM3"
  std::string brand;   // as libnvidia-container calls it: "tesla", "nvidia", "geforce"; "unknown"
  Version capability;
  ByteSize memory;
  std::optional<Mig> mig;
  std::vector<std::string> device_paths;  // its own device nodes: /dev/nvidia0, /dev/nvidia-caps/nvidia-cap12
  std::optional<std::string> withheld;    // why it must not be handed out, in words; nothing: it is well
  bool lost = false;                      // it answered once, and does not any more
  std::vector<Process> processes;         // that compute on it, whoever's; one that only draws is left out
  std::optional<ByteSize> used;
  std::optional<unsigned> utilisation;  // percent of the last sampling period; instances have none

  // "GPU 3", "GPU 3 MIG 1g.10gb".
  std::string label() const;
  friend bool operator==(const Gpu&, const Gpu&) = default;
};

// What the driver reported of a GPU since the last look.
struct Fault {
  std::string uuid;  // of the whole GPU
  unsigned xid = 0;
  friend bool operator==(const Fault&, const Fault&) = default;
};

// An Xid after which a GPU is withheld.
struct Trouble {
  unsigned xid = 0;
  std::optional<Version> driver;  // that told of it; another one, loaded since, has begun anew with the GPU
  friend bool operator==(const Trouble&, const Trouble&) = default;
};

struct Survey {
  std::vector<Gpu> gpus;
  std::optional<Version> driver;
  std::optional<Version> cuda;      // the newest that the driver has
  std::vector<Fault> faults;
  std::map<std::string, Trouble> troubles;  // by whole GPU, those that are not over
  bool driver_expected = false;             // NVML is installed, and its driver does not answer (yet)
  std::vector<std::string> notes;   // for the operator: why there are no GPUs, what could not be found out
};

// Xids that are the program's own doing, after which the GPU works on: illegal addresses and the like. The others
// tell of a GPU, its memory or its driver.
bool is_programs_fault(unsigned xid);
// "Xid 79 (the GPU has fallen off the bus)".
std::string xid_in_words(unsigned xid);

}  // namespace berth::gpu
