#pragma once

// How a launch is prepared, started, found again and cleared away: on the host, in a container, later on a compute
// engine. What became of a job its supervisor's files tell, whatever the driver (runtime/shim); a driver adds what only
// its runtime knows. Belongs to the loop.

#include <sys/types.h>

#include <array>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "agent/drivers/launch_plan.hpp"
#include "agent/model/ending.hpp"
#include "agent/model/job.hpp"
#include "runtime/async/task.hpp"
#include "runtime/base/error.hpp"
#include "runtime/environment/environment.hpp"
#include "runtime/os/fd.hpp"
#include "runtime/shim/client.hpp"

namespace berth::drivers {

using async::Task;

// One launch of a job: an attempt has one, but where a supervisor died before it had started the job.
struct LaunchId {
  model::JobId job;
  uid_t owner = 0;
  int number = 0;
};

class Driver {
 public:
  virtual ~Driver() = default;

  // Once, first. `live` tells the jobs that have not ended, at any later time.
  using LiveJobs = std::function<std::set<model::JobId>()>;
  virtual void begin(LiveJobs live) = 0;
  // Ends what has no end by itself. Nothing is asked for afterwards.
  virtual Task<> stop() = 0;

  // Fills in what the site has of where it runs. Its tree is there, and so is its environment, which outlives the
  // launch.
  virtual Task<> prepare(const LaunchId& launch, const model::Job& job, const environment::Ready& environment,
                         const os::Identity& identity, Site& site) = 0;
  // Whether a supervisor can be handed a key that its ending is sealed with, so that nobody else can write one.
  virtual bool hands_over_keys() const = 0;
  // From its call on there may be a supervisor, whatever comes of it. `seal_key` may be empty.
  virtual Task<shim::Supervisor> start(const LaunchId& launch, const shim::Launch& plan, const Site& site,
                                       const environment::Ready& environment, const std::string& seal_key) = 0;
  // The control group of this host that all processes of the launch are in; "" where there is none.
  virtual std::string group_of(const model::JobId& job, int launch) const = 0;
  // The supervisor of a launch that an earlier agent started, where the process id that it wrote down leads nowhere;
  // nothing where it is gone, then. Throws where that cannot be told at this moment.
  virtual Task<std::optional<os::Fd>> recover(const LaunchId& launch) = 0;
  // Nothing supervises it any more. Adds what only the runtime knows to what its files told, and ends what is left
  // there, where that matters to what comes next. True where it added something that nobody else knows.
  virtual Task<bool> settle(const LaunchId& launch, shim::Condition& condition) = 0;
  // Of a launch that ended without a word, though neither the machine was rebooted nor its files were changed.
  virtual Task<model::Lost::Cause> why_lost() = 0;
  // The job's end is on record: nothing of its launches up to this one stays. What cannot go now is cleared away later.
  virtual Task<> clean(const LaunchId& last) = 0;

  // Clears away what jobs of an earlier agent left that are not among the live ones. Throws what kept it from that,
  // which it tries again by itself.
  virtual Task<> sweep() = 0;

  // Whether jobs that lack this wait for the driver's runtime; then it is watched until it is back.
  virtual bool is_away(Lack lack) = 0;
  // Returns when nothing is known to be away.
  virtual Task<> back() = 0;
};

// The drivers of a node, by what a job asks for.
struct Drivers {
  std::unique_ptr<Driver> host;
  std::unique_ptr<Driver> container;

  Driver& of(const model::JobRequest& request) const {
    return model::in_container(request.environment) ? *container : *host;
  }
  // The one whose runtime is what is lacking; nothing for other lacks.
  Driver* away(Lack lack) const {
    if (container->is_away(lack)) return container.get();
    return host->is_away(lack) ? host.get() : nullptr;
  }
  std::array<Driver*, 2> all() const { return {host.get(), container.get()}; }
};

}  // namespace berth::drivers
