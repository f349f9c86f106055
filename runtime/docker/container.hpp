#pragma once

// What a container is made from. A container of Berth never has more than its job has without one: no
// capability but those its supervisor needs to become the job's user, no new privileges, no device but the
// GPUs given.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/base/units.hpp"

namespace berth::docker {

// A host directory or file, which must exist, seen at `target`.
struct Bind {
  std::string source;
  std::string target;
  bool read_only = false;
};
// A volume of the engine by its name; the image's content at `target` is not copied into it.
struct VolumeMount {
  std::string volume;
  std::string target;
  bool read_only = false;
};
struct Ulimit {
  std::string name;  // "nofile"
  std::int64_t soft = 0;
  std::int64_t hard = 0;
};

struct ContainerSpec {
  std::string name;                     // "" lets the engine choose
  std::string image;                    // its id, or a reference that is there
  std::vector<std::string> entrypoint;  // empty: the image's
  std::vector<std::string> command;  // its arguments; empty: the image's, where the entrypoint is the image's
  std::vector<std::string> environment;  // NAME=VALUE, added to the image's
  std::string working_directory;
  std::string user = "0:0";  // "" leaves it to the image
  std::vector<Bind> binds;
  std::vector<VolumeMount> volumes;
  std::map<std::string, std::string> tmpfs;  // target → options ("size=64m")
  std::optional<ByteSize> memory;            // swap included
  std::optional<double> cpus;
  std::optional<std::int64_t> pids;
  ByteSize shm_size = 2_GiB;
  std::string network = "bridge";  // "host", "none", "bridge"
  std::string ipc;                 // "" leaves it to the engine
  std::map<std::string, std::string> labels;
  std::vector<std::string> gpus;  // device ids: UUIDs of GPUs or MIG instances
  std::vector<Ulimit> ulimits;
  std::vector<std::string> extra_hosts;  // "name:address"
  std::vector<std::string> dns;
  std::string hostname;
  std::string cpuset;
  bool read_only_root = false;
};

// The body of POST /containers/create. Throws Error(Code::invalid) for a path that is not absolute.
std::string to_json(const ContainerSpec& spec);

}  // namespace berth::docker
