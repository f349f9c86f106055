#include "runtime/gpu/gpu.hpp"

#include <algorithm>
#include <array>
#include <utility>

namespace berth::gpu {
namespace {

// As NVIDIA's "Xid errors" describes them.
constexpr std::array<std::pair<unsigned, const char*>, 16> kXids{{
    {13, "graphics engine exception, by a program"},
    {31, "memory page fault, by a program"},
    {43, "a program was stopped"},
    {45, "clean-up after a program's end"},
    {48, "uncorrectable memory error"},
    {62, "internal micro-controller halt"},
    {63, "a memory row was marked for remapping"},
    {64, "a memory row could not be marked for remapping"},
    {68, "video processor exception, by a program"},
    {74, "NVLink error"},
    {79, "the GPU has fallen off the bus"},
    {94, "contained memory error"},
    {95, "uncontained memory error"},
    {109, "context switch timeout, by a program"},
    {119, "the GPU's system processor does not answer"},
    {120, "the GPU's system processor has failed"},
}};

}  // namespace

std::string Gpu::label() const {
  const auto text = "GPU " + std::to_string(index);
  return mig ? text + " MIG " + mig->profile : text;
}

bool is_programs_fault(unsigned xid) {
  static constexpr std::array<unsigned, 6> kPrograms{13, 31, 43, 45, 68, 109};
  return std::find(kPrograms.begin(), kPrograms.end(), xid) != kPrograms.end();
}

std::string xid_in_words(unsigned xid) {
  const auto text = "Xid " + std::to_string(xid);
  for (const auto& [number, meaning] : kXids)
    if (number == xid) return text + " (" + meaning + ")";
  return text;
}

}  // namespace berth::gpu
