#pragma once

// The node's GPUs as things to be handed out: which are taken, by whom is the caller's to know. A device is a
// whole GPU or a MIG instance, named by its UUID. A job has its devices alone, or declares how much memory of
// each it uses and shares them with others who do, as long as the sum is at most the device's memory.

#include <optional>
#include <string>
#include <vector>

#include "agent/model/resources.hpp"

namespace berth::queue {

using Uuids = std::vector<std::string>;

struct Device {
  std::string uuid;
  std::string label;  // for people: "GPU 3", "GPU 3 MIG 1g.10gb"; empty: its UUID
  ByteSize memory;
  std::optional<std::string> withheld;  // why it is not handed out; nothing: it is
  friend bool operator==(const Device&, const Device&) = default;
};

// A device with what is taken of it.
struct DeviceUse {
  Device device;
  int alone = 0;       // jobs that have it for themselves: at most one, but for jobs found running
  int sharing = 0;     // jobs that declared their memory
  ByteSize declared;   // by them, in sum
  bool is_free() const { return alone == 0 && sharing == 0; }
};

class Devices {
 public:
  // In the order in which they are handed out. Nothing is taken of them: the caller takes again what jobs hold.
  void set(std::vector<Device> devices);

  // Whether the GPUs asked for can be had now; true for none.
  bool fits(const model::Resources& asked) const;
  // Whether they could if no job ran, of the devices that are not withheld.
  bool fits_idle(const model::Resources& asked) const;
  // The same of all devices.
  bool fits_ever(const model::Resources& asked) const;

  // Those that a job would get now: alone, the first free ones; sharing, those already shared that have least
  // left, then free ones, the smallest first. Fewer than asked for where it does not fit.
  Uuids choose(const model::Resources& asked) const;
  // Both skip UUIDs that are not there.
  void take(const Uuids& uuids, ByteSize gpu_memory);
  void give_back(const Uuids& uuids, ByteSize gpu_memory);

  const std::vector<DeviceUse>& all() const { return all_; }
  std::uint16_t count() const { return static_cast<std::uint16_t>(all_.size()); }
  // By any job.
  std::uint16_t in_use() const;

 private:
  DeviceUse* find(const std::string& uuid);

  std::vector<DeviceUse> all_;
};

// "GPU 3 (fell off the bus)".
std::string withheld_in_words(const Device& device);

}  // namespace berth::queue
