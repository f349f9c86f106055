#pragma once

// What jobs leave that nobody needs: directories, groups, what their drivers have of them. Nobody has to wait for it;
// what an agent that ends meanwhile leaves, the next one clears away. Belongs to the loop.

#include <list>
#include <set>
#include <utility>
#include <vector>

#include "agent/drivers/driver.hpp"
#include "agent/model/job.hpp"
#include "runtime/async/event.hpp"
#include "runtime/async/lanes.hpp"
#include "runtime/async/task.hpp"
#include "runtime/environment/environment.hpp"
#include "runtime/os/removal.hpp"

namespace berth::jobs {

struct Context;

class Leftovers {
 public:
  explicit Leftovers(Context& context) : context_(context) {}

  // Of a job whose end is recorded: once that is on disk, all up to this launch but its logs goes. `environment`, which
  // nobody may remove before the driver has cleaned up.
  void clear(drivers::LaunchId last, drivers::Driver& driver, environment::Lease environment);
  // Of an attempt that is over, while the job goes on.
  void clear_attempt(drivers::LaunchId launch);
  // Of a launch that is revoked, and in nobody's way where it cannot go.
  async::Task<> discard(drivers::LaunchId launch);

  // What an agent that died between recording an ending and cleaning up left to this one. `live` are the jobs that have
  // not ended, and `groups` those of their launches; before any job can come into being or be retried.
  void sweep(const std::set<model::JobId>& live, std::set<std::string> groups);
  // Returns when nothing that an earlier agent left is in the job's way.
  async::Task<> swept(model::JobId job);

  // At the agent's end, when nothing else is at work: what a moment is enough for.
  async::Task<> clear_the_last();

 private:
  async::Task<> strip(drivers::LaunchId last, drivers::Driver& driver, environment::Lease environment);
  async::Task<> strip_attempt(drivers::LaunchId launch);
  // What could not be removed is told, and tried again until it is gone.
  async::Task<> strip_again(model::JobId id, async::Lanes::Owner owner, int launch, os::Removal left);
  async::Task<> sweep_all(std::vector<model::JobId> ended, std::set<std::string> groups);
  async::Task<> sweep_directory(model::JobId id);

  Context& context_;
  std::list<std::pair<model::JobId, int>> stripping_;  // launches whose directories are being cleared
  bool swept_drivers_ = false;  // what jobs of an earlier agent left with them is gone
  std::set<model::JobId> unswept_;  // ended jobs of which an earlier agent may have left something
  async::Event swept_now_;
};

}  // namespace berth::jobs
