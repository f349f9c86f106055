#pragma once

// What one job made of its GPUs, summed up over samples. Pure.

#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "runtime/base/clock.hpp"
#include "runtime/gpu/gpu.hpp"

namespace berth::gpu {

struct Usage {
  std::chrono::milliseconds gpu_time{};  // held, times the number of GPUs
  ByteSize peak_memory;                  // of all its GPUs together, at one sample
  // Percent, by time and over its GPUs; of one that jobs share it is everybody's. Nothing where none was told (MIG).
  std::optional<double> mean_utilisation;
  friend bool operator==(const Usage&, const Usage&) = default;
};

class UsageMeter {
 public:
  // From when the job has held these GPUs.
  UsageMeter(std::vector<std::string> uuids, Steady start) : uuids_(std::move(uuids)), last_(start) {}

  // `memory`: of the job's processes, by UUID, as in Assignment.
  void sample(Steady now, const std::vector<Gpu>& gpus, const std::map<std::string, ByteSize>& memory);
  // At the last sample; finish() counts the time since.
  Usage usage() const;
  // The job gave its GPUs back.
  void finish(Steady now);

 private:
  std::vector<std::string> uuids_;
  Steady last_;
  std::chrono::milliseconds gpu_time_{};
  ByteSize peak_memory_;
  double busy_ms_ = 0;      // utilisation × time
  double measured_ms_ = 0;  // time for which there is a utilisation
};

}  // namespace berth::gpu
