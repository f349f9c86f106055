#pragma once

// Jobs in containers: starts them, finds them again, and takes away what is left of them. The container's first
// process is the supervisor, which is bound into it as the launch directory is, at the same path: so that files tell
// of the job what they tell of any other. All calls block; safe from any thread.

#include <optional>
#include <string>
#include <vector>

#include "agent/jobs/launch_plan.hpp"
#include "agent/model/job.hpp"
#include "runtime/docker/engine.hpp"
#include "runtime/shim/client.hpp"

namespace berth::jobs {

struct ContainerOptions {
  std::string socket = "/var/run/docker.sock";
  std::string shim_program;  // static
  std::string state_dir;     // tells this agent's containers from others'
};

class Containers {
 public:
  explicit Containers(ContainerOptions options);

  docker::Image image(const std::string& id) const { return engine_.image(id); }

  // Starts the launch of that directory in a container of its own.
  shim::Supervisor launch(const model::JobId& job, int launch, const std::string& directory, const shim::Launch& plan,
                          const Site& site, const std::string& image) const;
  // The supervisor of a launch that an earlier agent started; nothing where its container runs no more.
  std::optional<os::Fd> supervisor(const model::JobId& job, int launch) const;

  // After the end: whether the kernel killed something of it for want of memory. Takes it away, running or not.
  struct Remains {
    bool out_of_memory = false;
  };
  Remains remove(const model::JobId& job, int launch) const;
  // What there is of this agent's, containers before volumes, and away with what no live job needs.
  struct Left {
    model::JobId job;
    std::string container;  // or
    std::string volume;
  };
  std::vector<Left> list() const;
  void remove(const std::vector<Left>& left) const;

 private:
  docker::ContainerSpec spec_of(const std::string& name, const model::JobId& job, const std::string& directory,
                                const shim::Launch& plan, const Site& site, const std::string& image) const;
  shim::Supervisor start(const std::string& id, const std::string& directory) const;
  void abandon(const model::JobId& job, int launch) const noexcept;
  std::string name_of(const model::JobId& job, int launch) const;
  docker::Labels labels_of(const model::JobId& job) const;

  ContainerOptions options_;
  docker::Engine engine_;
};

}  // namespace berth::jobs
