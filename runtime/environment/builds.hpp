#pragma once

// Builds environments: follows recipes (recipe.hpp), each in a process tree of its own under a supervisor
// (runtime/shim), and puts what comes of them into the cache. One build for all who want the same
// environment. Builds outlive the agent: the next one adopts them.
//
// Belongs to the loop; what blocks goes to threads of its own.

#include <optional>
#include <string>
#include <vector>

#include "runtime/async/event.hpp"
#include "runtime/async/nursery.hpp"
#include "runtime/async/offload.hpp"
#include "runtime/async/task.hpp"
#include "runtime/async/watcher.hpp"
#include "runtime/base/log.hpp"
#include "runtime/base/result.hpp"
#include "runtime/environment/build_directories.hpp"
#include "runtime/environment/cache.hpp"
#include "runtime/environment/places.hpp"
#include "runtime/environment/recipe.hpp"
#include "runtime/environment/single_flight.hpp"
#include "runtime/environment/store.hpp"
#include "runtime/environment/waiting.hpp"
#include "runtime/shim/client.hpp"

namespace berth::environment {

class Builds : public Store {
 public:
  Builds(async::Executor executor, async::Watcher& watcher, BuildSettings settings);
  Builds(const Builds&) = delete;
  Builds& operator=(const Builds&) = delete;

  const BuildSettings& settings() const { return settings_; }
  Cache& cache() { return cache_; }
  async::Pool& pool() { return pool_; }

  // Once, at start: adopts the builds of the agent before this one and removes what is half made. ensure()
  // waits for it.
  async::Task<> recover();

  // The environment, built where it is not there. Throws an Error with the tool's own last words; Cancelled
  // when the caller abandoned the wait.
  async::Task<Leased> ensure(Recipe recipe, Waiting& waiting);

  async::Task<std::optional<Leased>> lease(Digest digest) override;
  async::Task<std::optional<Leased>> lease_present(Digest digest) override { return lease(digest); }
  async::Task<std::optional<bool>> is_as_built(Digest digest) override;
  async::Task<std::vector<Entry>> list() override;
  std::vector<Waiting::Build> building() const override;
  async::Task<std::string> show(Digest digest) override;
  async::Task<> remove(Digest digest) override;

  // What the tools keep of their downloads; what is in environments is none of it.
  Downloads& downloads() { return directories_.downloads(); }
  // Removes it. Code::conflict while a build uses it.
  async::Task<> drop_downloads(Downloads::Owner owner);

  // Leaves the running builds to the next agent. Needed before the end of every Builds.
  async::Task<> stop();

 private:
  using Flying = SingleFlight<Leased>::Ptr;

  void give_up(const Waiting::Build& build);

  async::Task<Leased> make(Flying flight, Recipe recipe);
  async::Task<Leased> build(Flying flight, Recipe recipe);
  async::Task<Leased> complete(Flying flight, Result<Leased> result);
  async::Task<> clear_away(Waiting::Build& build);
  async::Task<> adopt(Digest digest);
  async::Task<Leased> go_on(Flying flight, Turns::User user);
  async::Task<Leased> settle_when_over(Flying flight);
  async::Task<> ended_or_gone(std::string directory, int supervisor);
  async::Task<shim::Condition> outcome(std::string directory);
  async::Task<> harden(Digest digest);
  async::Task<> count_downloads();
  async::Task<> remove_left_downloads(std::vector<std::string> paths);

  BuildSettings settings_;
  Log log_;
  Cache cache_;
  BuildDirectories directories_;
  async::Pool pool_{4};
  async::Watcher& watcher_;
  std::optional<shim::Launcher> launcher_;  // while anything is built
  Places places_{settings_.at_once};
  async::Pool counting_{2};  // trees of any size keep no build waiting
  bool counts_downloads_ = false;
  bool downloads_changed_ = false;
  bool recovered_ = false;
  async::Event recovery_done_;
  async::Nursery nursery_;
  SingleFlight<Leased> flights_{nursery_};
};

}  // namespace berth::environment
