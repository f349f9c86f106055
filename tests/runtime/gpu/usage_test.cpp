#include "runtime/gpu/usage.hpp"

#include <doctest/doctest.h>

using namespace berth;
using namespace berth::gpu;
using namespace std::chrono_literals;

namespace {

const Steady kStart = Steady{} + 1000h;

Gpu gpu_with(const std::string& uuid, std::optional<unsigned> utilisation) {
  Gpu result;
  result.uuid = uuid;
  result.utilisation = utilisation;
  return result;
}

}  // namespace

TEST_CASE("a job's GPU time, peak memory and mean utilisation come from its own GPUs") {
  UsageMeter meter({"GPU-a", "GPU-b"}, kStart);
  CHECK(meter.usage() == Usage{});
  meter.sample(kStart + 10s, {gpu_with("GPU-a", 100), gpu_with("GPU-b", 50), gpu_with("GPU-c", 7)},
               {{"GPU-a", 3_GiB}, {"GPU-b", 1_GiB}});
  CHECK(meter.usage() == Usage{20s, 4_GiB, 75.0});
  meter.sample(kStart + 40s, {gpu_with("GPU-a", 0), gpu_with("GPU-b", 50)}, {{"GPU-a", 2_GiB}});
  CHECK(meter.usage() == Usage{80s, 4_GiB, 37.5});  // the longer time weighs more
  meter.finish(kStart + 45s);
  CHECK(meter.usage() == Usage{90s, 4_GiB, 37.5});
}

TEST_CASE("where no utilisation is told there is no mean") {
  UsageMeter meter({"MIG-a"}, kStart);
  meter.sample(kStart + 10s, {gpu_with("MIG-a", std::nullopt)}, {});
  CHECK(meter.usage() == Usage{10s, ByteSize(), std::nullopt});
}
