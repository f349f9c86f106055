#pragma once

// From a job to what the supervisor must know, and back from what it saw to the job's ending. Pure.

#include <string>

#include "agent/model/job.hpp"
#include "agent/model/secrets.hpp"
#include "runtime/environment/environment.hpp"
#include "runtime/shim/client.hpp"

namespace berth::drivers {

// Where a launch happens.
struct Site {
  std::string tree;                     // root of the job's code; "" for a job that runs where it was submitted
  std::optional<os::Overlay> overlay;   // mounted on `tree` by the supervisor
  std::string cgroup;                   // "" where there is none
  std::string stop_reason;              // the file that tells the job why it is asked to stop
  std::string tmp;                      // a directory of the job's own, gone with it
  std::vector<std::string> gpus;        // UUIDs of its GPUs
  bool container = false;               // in one of its own, where the user's home is not
  std::vector<std::string> image_environment;  // NAME=VALUE that the image sets
  std::string image_directory{};               // where it runs its programs; "" where it does not say
  std::string secrets{};  // a directory of the job's own for the files of its secrets; "" for none
  std::string scratch{};  // for a job without code in a container: a directory of its own there
  ByteSize shm_size = 2_GiB;  // of its container
  std::vector<std::string> docker_args{};  // likewise (runtime/docker/arguments.hpp)
  os::DeviceRules devices;  // that keep it off the others; empty: nothing does
  std::optional<shim::Protection> protection{};  // of what it shares with others
};

// What the node's configuration says about every job.
struct NodeDefaults {
  std::string path;  // PATH of jobs
  ByteSize log_cap{1ULL << 30};
  std::chrono::milliseconds stop_grace{10'000};
  std::optional<ByteSize> memory;  // of jobs that ask for none
  std::optional<std::uint32_t> pids;  // likewise
  std::optional<ByteSize> tmp;  // likewise
  ByteSize shm_size = 2_GiB;  // of containers whose job does not say
  bool network = true;  // false: no job has any
  int nice = 0;  // where control groups share out no CPUs
  bool core_dumps = false;
};

// Fills in what the request leaves to the node. Throws Error for docker_args that are not allowed, or malformed.
void fill_in(model::JobRequest& request, const NodeDefaults& defaults);

// Throws Error Code::invalid where none of the credentials that it brings along are for its image's registry.
void check_credentials(const model::JobRequest& request);

// `identity` is whom the job runs as; it is applied only when `switch_user`.
shim::Launch plan_launch(const model::Job& job, int attempt, const Site& site, const environment::Ready& ready,
                         const os::Identity& identity, bool switch_user, const NodeDefaults& defaults);

// What of the plan is secret goes where only the supervisor reads it, with the job's own secrets. `shown` is the
// command as the record has it.
void set_secrets_apart(shim::Launch& launch, const model::JobRequest& request, const std::vector<std::string>& shown,
                       const Site& site, const model::JobSecrets& secrets);

// Of what the agent does for the job's user apart from the job: the job's own where those are not too small for it.
os::Limits errand_limits(const model::JobRequest& request);

// `canceled_by`: who asked for it, where somebody did.
model::Ending ending_of(const shim::Ended& ended, const model::JobRequest& request, const std::string& canceled_by);
model::Usage usage_of(const shim::Ended& ended);

}  // namespace berth::drivers
