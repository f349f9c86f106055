#pragma once

// NVML between its init and its shutdown: reads every GPU once per look(). What a GPU was before is not known here.

#include <map>
#include <set>
#include <string>

#include "runtime/gpu/gpu.hpp"
#include "runtime/gpu/nvml_library.hpp"

namespace berth::gpu::nvml {

class Session {
 public:
  // Throws Error where the library or the driver is not there.
  Session(const std::string& library, std::string capabilities);
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;
  ~Session();

  // The whole GPUs that answered. Throws Error when NVML as such does not answer: then a new session is needed.
  std::set<std::string> look(Survey& survey);

 private:
  void read_versions(Survey& survey) const;
  void read_device(Device device, unsigned index, const std::string& uuid, Survey& survey);
  void read_instances(Device parent, const Gpu& whole, Survey& survey) const;
  Gpu read_whole(Device device, unsigned index, const std::string& uuid) const;
  void read_use(Device device, Gpu& gpu) const;
  void read_health(Device device, Gpu& gpu) const;
  std::vector<gpu::Process> read_processes(Device device) const;
  std::vector<std::string> instance_paths(Device instance, unsigned parent_minor) const;
  bool is_in_mig_mode(Device device) const;
  void watch(Device device, const std::string& uuid);
  void collect_faults(Survey& survey) const;

  Library library_;
  const std::string capabilities_;
  EventSet events_ = nullptr;  // none where NVML has no events
  std::map<Device, std::string> watched_;
};

}  // namespace berth::gpu::nvml
