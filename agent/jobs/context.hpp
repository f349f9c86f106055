#pragma once

// What the runners of a node work with and share. Belongs to the loop, like all of it.

#include <functional>
#include <string>
#include <utility>

#include "agent/disk/manager.hpp"
#include "agent/disk/quota.hpp"
#include "agent/drivers/driver.hpp"
#include "agent/drivers/job_directories.hpp"
#include "agent/gpus/gpus.hpp"
#include "agent/jobs/environments.hpp"
#include "agent/jobs/identities.hpp"
#include "agent/jobs/lanes.hpp"
#include "agent/jobs/leftovers.hpp"
#include "agent/jobs/masks.hpp"
#include "agent/jobs/secrets.hpp"
#include "agent/queue/queue.hpp"
#include "agent/store/store.hpp"
#include "runtime/async/attempt.hpp"
#include "runtime/async/nursery.hpp"
#include "runtime/async/offload.hpp"
#include "runtime/async/wait.hpp"
#include "runtime/async/watcher.hpp"
#include "runtime/base/clock.hpp"
#include "runtime/base/log.hpp"

namespace berth::jobs {

using async::Task;
using store::Sequence;

struct Settings {
  std::string boot_id;
  std::string cgroup_base;  // "" where there is no cgroup2 to use
  secrets::KeyPlace secrets_key;
  std::string old_credentials;      // where earlier versions kept credentials for registries
  bool guard_environments = false;  // mounts keep no job from changing them
  bool switch_user = false;         // jobs run as their submitters: the agent is root and serves the machine
  model::Resources capacity;
  std::chrono::milliseconds patience{300'000};
  std::chrono::milliseconds outage_patience{3'600'000};  // how long a job waits for what the node lacks for a moment
  drivers::NodeDefaults defaults;
};

// The node's parts, each of which outlives all jobs.
struct Parts {
  store::Store& store;
  drivers::JobDirectories& directories;
  drivers::Drivers& drivers;
  environment::Environments& environments;
  disk::Manager& disk;
  disk::Quota& quota;
  gpus::Gpus& gpus;
  async::Watcher& watcher;
  async::Pool& pool;
  const Clock& clock;
};

class Runner;

struct Context {
  Context(async::Executor executor, Settings node_settings, const Parts& parts, Log agent_log);
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  // For the files of a user's snapshot, which may be far larger than what he sent; held while they are written.
  Task<disk::Transit::Charge> room_for(uid_t uid, std::uint64_t bytes);
  // Repeats a write that must not be lost until the disk takes it. Throws what would be refused again.
  template <class MakeTask>
  Task<> persist(MakeTask make, std::string what);

  Settings settings;  // what of them changes while jobs run: Jobs::reconfigure
  store::Store& store;
  drivers::JobDirectories& directories;
  drivers::Drivers& drivers;
  disk::Manager& disk;
  disk::Quota& quota;
  gpus::Gpus& gpus;
  async::Watcher& watcher;
  async::Pool& pool;
  const Clock& clock;
  Log log;

  JobLanes lanes;
  Masks masks;
  Secrets secrets;
  Identities identities;
  JobEnvironments environments;
  queue::Queue queue;
  std::size_t preparing = 0;  // jobs whose code is being brought to disk at this moment
  std::size_t kept = 0;       // records of waiting jobs that are kept in memory

  // What a runner tells the registry: places may be free; it has come to its end, and is no live job any more.
  std::function<void()> schedule;
  std::function<void(Runner&)> ended;
  std::function<bool(Sequence)> is_live;  // has a runner that has not ended

  async::Nursery nursery;
  Leftovers leftovers;

 private:
  Task<> wait_for_disk(const Error& error, const std::string& what, std::optional<async::Backoff>& backoff);
};

// What would be refused again, however often it is tried.
inline bool is_refused(Code code) {
  return code == Code::conflict || code == Code::not_found || code == Code::invalid || code == Code::unsupported ||
         code == Code::too_large;
}

template <class MakeTask>
Task<> Context::persist(MakeTask make, std::string what) {
  std::optional<async::Backoff> backoff;  // seldom needed
  for (;;) {
    const auto result = co_await async::attempt(make());
    if (result) co_return;
    if (is_refused(result.error().code())) throw result.error();
    co_await wait_for_disk(result.error(), what, backoff);
  }
}

}  // namespace berth::jobs
