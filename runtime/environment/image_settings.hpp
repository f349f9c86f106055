#pragma once

// What the administrator sets for image environments, and what a job says about its use of one.

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "runtime/base/units.hpp"
#include "runtime/docker/credentials.hpp"
#include "runtime/environment/conda_tool.hpp"
#include "runtime/gpu/cuda.hpp"

namespace berth::environment {

enum class PullPolicy {
  missing,  // only what the engine does not have
  always,   // the registry is asked each time, and its answer is what counts
  never,    // what is here, or nothing
};

struct ImageSettings {
  std::string socket = "/var/run/docker.sock";
  std::string directory;  // for records, leases and logs
  std::string state;      // the agent's state directory: the label io.berth.state of what is built

  std::string cpu_image;                   // what "cpu" means; "" for nothing
  std::vector<gpu::BaseImage> gpu_images;  // of which "gpu" means the newest that runs here
  // What CUDA is held against, for jobs that ask for GPUs; called on threads.
  std::function<gpu::Machine()> machine = [] { return gpu::Machine{}; };

  PullPolicy pull = PullPolicy::missing;
  std::string docker_config;                     // a config.json with credentials; it need not exist
  std::vector<std::string> insecure_registries;  // "host:port" that are asked over plain http
  std::size_t at_once = 2;                       // pulls and builds
  std::chrono::milliseconds time_limit = std::chrono::hours(2);  // of each
  std::uint32_t build_cpu_milli = 0;                             // of each step of a Dockerfile; 0: no limit
  std::uint64_t build_memory = 0;                                // bytes, of each step of a Dockerfile; 0: no limit
  std::string build_network;                                     // of the steps: "" the engine's own, "none", "host"
  ByteSize log_cap = 64_MiB;

  // For an image with a conda environment: the channels and options. Its `tool` is not used: the image's own is, or
  // else this program, which must be a static micromamba; "" for none.
  NodeConda conda;
  std::string micromamba;
};

struct ImageUse {
  // On a node that several share, for whom: what others built is not for him, and his Dockerfiles reach only what a
  // registry lets him have. Root may use all there is; nothing: so may everybody, for all there is belongs to one
  // person.
  std::optional<uid_t> user{};
  bool gpus = false;  // the job asks for GPUs
  std::map<std::string, docker::Credentials> credentials;  // by registry, the job's own, before the node's

  bool is_restricted() const { return user && *user != 0; }
};

}  // namespace berth::environment
