#pragma once

// Jobs in containers: starts them, finds them again, and takes away what is left of them. The container's first
// process is the supervisor, which is bound into it as the launch directory is, at the same path: so that files tell
// of the job what they tell of any other. All calls block; safe from any thread.
//
// What is Berth's is what it wrote down here, before it was made, under a name that nobody can guess, and then by the
// engine's id: a file for each launch in `records`, which goes with the container. Labels and names are for people;
// anybody can write them, so nothing is ever found, trusted or removed by them.

#include <optional>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include "agent/drivers/launch_plan.hpp"
#include "agent/model/job.hpp"
#include "runtime/docker/engine.hpp"
#include "runtime/os/file.hpp"
#include "runtime/shim/client.hpp"

namespace berth::drivers {

struct ContainerOptions {
  std::string socket = "/var/run/docker.sock";
  std::string shim_program;  // static
  std::string state_dir;     // in labels, for people
  std::string records;       // a directory of the agent's own, for what it has made
};

class Containers {
 public:
  explicit Containers(ContainerOptions options);
  // The same, whose calls this stop ends where they wait for the engine: Cancelled, as if the agent had died there.
  Containers stopped_by(std::stop_token stop) const {
    auto same = *this;
    same.engine_ = engine_.stopped_by(std::move(stop));
    return same;
  }

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
  // The launches of which something may be left in the engine. It is not asked.
  struct Launched {
    model::JobId job;
    int launch = 0;
  };
  std::vector<Launched> recorded() const;
  // What an agent that was killed while it wrote has left among the records.
  void tidy() const;
  // Returns when the engine answers; throws why it does not.
  void ask_engine() const { static_cast<void>(engine_.version()); }

 private:
  struct Record {
    std::string name;  // of the container and of its volume
    std::string id;    // the engine's; "" until it has told
    bool out_of_memory = false;  // what it has told of the container's end
  };
  docker::ContainerSpec spec_of(const std::string& name, const model::JobId& job, const std::string& directory,
                                const shim::Launch& plan, const Site& site, const std::string& image) const;
  shim::Supervisor start(const std::string& id, const std::string& directory) const;
  void abandon(const model::JobId& job, int launch) const noexcept;
  std::string record_file(const model::JobId& job, int launch) const;
  std::optional<Record> record_of(const model::JobId& job, int launch) const;
  std::optional<docker::Container> find(const Record& record) const;
  Record begin(const model::JobId& job, int launch) const;
  void write(const model::JobId& job, int launch, const Record& record, os::Durable durable) const;
  std::optional<Record> of_older_agent(const model::JobId& job, int launch) const;
  docker::Labels labels_of(const model::JobId& job) const;

  ContainerOptions options_;
  docker::Engine engine_;
};

}  // namespace berth::drivers
