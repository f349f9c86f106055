#include "runtime/gpu/usage.hpp"

#include <algorithm>

namespace berth::gpu {
namespace {

using std::chrono::duration_cast;
using std::chrono::milliseconds;

}  // namespace

void UsageMeter::sample(Steady now, const std::vector<Gpu>& gpus, const std::map<std::string, ByteSize>& memory) {
  const auto passed = static_cast<double>(duration_cast<milliseconds>(now - last_).count());
  for (const auto& gpu : gpus) {
    if (!gpu.utilisation || std::find(uuids_.begin(), uuids_.end(), gpu.uuid) == uuids_.end()) continue;
    busy_ms_ += *gpu.utilisation * passed;
    measured_ms_ += passed;
  }
  std::uint64_t bytes = 0;
  for (const auto& [uuid, used] : memory) bytes += used.bytes();
  peak_memory_ = std::max(peak_memory_, ByteSize(bytes));
  finish(now);
}

void UsageMeter::finish(Steady now) {
  gpu_time_ += duration_cast<milliseconds>(now - last_) * uuids_.size();
  last_ = now;
}

Usage UsageMeter::usage() const {
  Usage usage{gpu_time_, peak_memory_, std::nullopt};
  if (measured_ms_ > 0) usage.mean_utilisation = busy_ms_ / measured_ms_;
  return usage;
}

}  // namespace berth::gpu
