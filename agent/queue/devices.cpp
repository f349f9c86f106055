#include "agent/queue/devices.hpp"

#include <algorithm>

namespace berth::queue {
namespace {

using model::Resources;

ByteSize left_of(const DeviceUse& use) {
  const auto memory = use.device.memory.bytes();
  return ByteSize(memory - std::min(memory, use.declared.bytes()));
}

bool offers(const DeviceUse& use, ByteSize gpu_memory) {
  if (use.device.withheld || use.alone > 0) return false;
  return gpu_memory.bytes() == 0 ? use.sharing == 0 : left_of(use) >= gpu_memory;
}

template <class Offers>
bool enough(const std::vector<DeviceUse>& all, const Resources& asked, Offers offering) {
  return asked.gpus == 0 || std::count_if(all.begin(), all.end(), offering) >= asked.gpus;
}

}  // namespace

void Devices::set(std::vector<Device> devices) {
  all_.clear();
  for (auto& device : devices) all_.emplace_back().device = std::move(device);
}

bool Devices::fits(const Resources& asked) const {
  return enough(all_, asked, [&](const DeviceUse& use) { return offers(use, asked.gpu_memory); });
}

bool Devices::fits_idle(const Resources& asked) const {
  return enough(all_, asked,
                [&](const DeviceUse& use) { return !use.device.withheld && use.device.memory >= asked.gpu_memory; });
}

bool Devices::fits_ever(const Resources& asked) const {
  return enough(all_, asked, [&](const DeviceUse& use) { return use.device.memory >= asked.gpu_memory; });
}

Uuids Devices::choose(const Resources& asked) const {
  std::vector<const DeviceUse*> offered;
  for (const auto& use : all_)
    if (offers(use, asked.gpu_memory)) offered.push_back(&use);
  const auto tighter = [](const DeviceUse* a, const DeviceUse* b) {
    return a->is_free() != b->is_free() ? b->is_free() : left_of(*a) < left_of(*b);
  };
  if (asked.gpu_memory.bytes() > 0) std::stable_sort(offered.begin(), offered.end(), tighter);
  offered.resize(std::min<std::size_t>(offered.size(), asked.gpus));
  Uuids uuids;
  for (const auto* use : offered) uuids.push_back(use->device.uuid);
  return uuids;
}

void Devices::take(const Uuids& uuids, ByteSize gpu_memory) {
  for (const auto& uuid : uuids) {
    auto* use = find(uuid);
    if (use == nullptr) continue;
    ++(gpu_memory.bytes() == 0 ? use->alone : use->sharing);
    use->declared = ByteSize(use->declared.bytes() + gpu_memory.bytes());
  }
}

void Devices::give_back(const Uuids& uuids, ByteSize gpu_memory) {
  for (const auto& uuid : uuids) {
    auto* use = find(uuid);
    if (use == nullptr) continue;
    --(gpu_memory.bytes() == 0 ? use->alone : use->sharing);
    use->declared = ByteSize(use->declared.bytes() - gpu_memory.bytes());
  }
}

std::uint16_t Devices::in_use() const {
  return static_cast<std::uint16_t>(
      std::count_if(all_.begin(), all_.end(), [](const DeviceUse& use) { return !use.is_free(); }));
}

DeviceUse* Devices::find(const std::string& uuid) {
  const auto found =
      std::find_if(all_.begin(), all_.end(), [&](const DeviceUse& use) { return use.device.uuid == uuid; });
  return found == all_.end() ? nullptr : &*found;
}

std::string withheld_in_words(const Device& device) {
  return (device.label.empty() ? device.uuid : device.label) + " (" + device.withheld.value_or("in use") + ")";
}

}  // namespace berth::queue
