#pragma once

// What an administrator may set, in YAML. An unknown key, a wrong type or an impossible value is an Error that names
// file and line.

#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "agent/disk/plan.hpp"
#include "agent/disk/user_limits.hpp"
#include "runtime/base/log.hpp"
#include "runtime/base/units.hpp"
#include "runtime/environment/build_users.hpp"

namespace berth::daemon {

// How environments are made. Unset: as the tools themselves would.
struct EnvironmentConfig {
  std::size_t builds_at_once = 2;                      // builds_at_once
  std::chrono::milliseconds build_timeout{7'200'000};  // build_timeout
  std::optional<ByteSize> build_memory;  // build_memory: the most that a build may use; nothing: 3/4 of all
  std::optional<std::uint32_t> build_cpu_milli;  // build_cpus: likewise
  std::string conda;  // conda: micromamba, mamba or conda; "": the first found
  std::vector<std::string> conda_channels;  // conda_channels: instead of those that files name
  std::map<std::string, std::string> conda_mirrors;  // conda_mirrors: channel → URL
  std::vector<std::string> conda_options;  // conda_options: more arguments of `create`
  std::optional<std::string> uv;  // uv: its path; "": never use it; unset: where PATH has it
  std::string pip_index;  // pip_index: URL
  std::vector<std::string> pip_extra_indexes;  // pip_extra_indexes
  std::vector<std::string> find_links;  // find_links: directories of wheels, or pages
  std::string docker_socket = "/var/run/docker.sock";  // docker_socket: of Docker, or Podman's
  std::string docker_config = "/root/.docker/config.json";  // docker_config: credentials for registries
  std::string image_cpu;  // image_cpu: what --image cpu means
  std::map<std::string, std::string> images_gpu;  // images_gpu: CUDA version → image, for --image gpu
  std::string image_pull = "missing";  // image_pull: missing, always or never
  std::vector<std::string> insecure_registries;  // insecure_registries: host:port, over plain HTTP
  bool offline = false;  // offline: no index, no channel but file://
  environment::UserRange build_users;  // build_uids: "FIRST-LAST", numbers that no user has
  bool shared = true;  // share_environments: between users, where nobody's own is part of them
  std::map<std::string, std::string> build_environment;  // build_environment: proxies, certificates

  friend bool operator==(const EnvironmentConfig&, const EnvironmentConfig&) = default;
};

// Which GPUs jobs may have.
struct GpuConfig {
  bool managed = true;  // gpus: none: the agent has nothing to do with GPUs
  std::optional<std::vector<std::string>> offered;  // gpus: UUIDs or numbers; auto: all
  std::string library = "libnvidia-ml.so.1";  // nvml: a path, or a name for the loader
  std::chrono::milliseconds sample{5000};  // gpu_sample: between two looks at them

  friend bool operator==(const GpuConfig&, const GpuConfig&) = default;
};

struct Config {
  std::string state_dir;  // state_dir: everything the agent keeps
  std::string socket;  // socket: of the API; DIR/berth.sock unless set
  std::string group;  // group: who may open the socket of a root agent; "berth"

  // What jobs may use together. Unset: what the machine has.
  std::optional<std::uint32_t> cpu_milli;  // cpus: 3.5
  std::optional<ByteSize> memory;  // memory: 60GiB
  std::optional<std::uint16_t> max_parallel;  // max_parallel: jobs at a time; as many as CPUs

  ByteSize log_cap = 1_GiB;  // log_cap: per job; head and tail are kept
  std::chrono::milliseconds backfill_patience{300'000};  // backfill_patience: before the head's reservation is firm
  // outage_patience: how long a job waits for what the node lacks for a moment (engine, registry, disk)
  std::chrono::milliseconds outage_patience{3'600'000};
  std::chrono::milliseconds stop_grace{10'000};  // stop_grace: from the signal to SIGKILL, unless a job has its own
  std::optional<ByteSize> default_memory;  // default_memory: of jobs that ask for none; unset: no limit
  std::optional<std::uint32_t> default_pids;  // default_pids: processes and threads; unset: 15 % of the machine's
  std::optional<ByteSize> default_tmp;  // default_tmp: likewise; a TMPDIR in memory. Unset: on disk
  ByteSize shm_size = 2_GiB;  // shm_size: of containers whose jobs do not say
  bool network = true;  // network: false: jobs have none
  bool core_dumps = false;  // core_dumps: true: jobs may leave them
  std::vector<std::string> on_idle;  // on_idle: a program's absolute path and its arguments
  std::chrono::milliseconds idle_after{1'800'000};  // idle_after: how long nothing is to be done before on_idle
  ByteSize max_upload{64ULL << 30};  // max_upload: largest pack accepted; twice that on its way
  ByteSize max_outputs{1ULL << 40};  // max_outputs: most that is collected of a job, holes included
  std::uint64_t max_output_files = 1'000'000;  // max_output_files: files, directories and links, likewise
  std::chrono::milliseconds outputs_timeout{7'200'000};  // outputs_timeout: how long that may take
  ByteSize reserved_space = 64_MiB;  // reserved_space: below it new jobs are refused
  // How much is kept (agent/disk/plan.hpp): disk_budget, image_budget, disk_high, disk_low, keep_at_least,
  // keep_logs, keep_outputs, keep_jobs.
  disk::Limits disk;
  disk::UserLimits users;  // jobs_per_user, storage_per_user: of each user of a machine's agent but root
  EnvironmentConfig environments;
  GpuConfig gpus;
  std::string cgroup;  // cgroup: a cgroup2 directory for the jobs' groups
  std::string path =  // path: PATH of jobs
      "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
  std::size_t max_connections = 1024;  // max_connections: to the socket, of all together
  std::size_t max_connections_per_user = 256;  // max_connections_per_user: of each but root
  bool others_may_read = false;  // others_may_read: logs and files of a job for everybody on the socket
  LogLevel log_level = LogLevel::info;

  friend bool operator==(const Config&, const Config&) = default;
};

// Reads the file over the defaults given.
Config load_config(const std::string& file, Config defaults);
// The same for text; `name` stands for the file in errors.
Config parse_config(const std::string& text, const std::string& name, Config defaults);

// What a running agent makes of another configuration: it takes what it can, and the rest waits for a restart.
struct Change {
  Config config;  // with which it goes on
  std::vector<std::string> taken;  // keys
  std::vector<std::string> waiting;
};
Change change(const Config& running, const Config& wanted);
std::vector<std::string> keys_taken_at_once();

// The defaults of `berthd --user`: XDG paths of the caller.
Config user_defaults();
// The defaults of the machine's agent: /var/lib/berth, /run/berth/berth.sock.
Config system_defaults();

}  // namespace berth::daemon
