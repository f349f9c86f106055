#pragma once

// Whether one user takes no more of the node than he may: what he stores, what is on its way (transit.hpp), and how
// many jobs of his are there at a time.
// Root and who runs an agent of his own are not bound.

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "agent/disk/transit.hpp"
#include "agent/disk/user_limits.hpp"
#include "agent/store/store.hpp"
#include "runtime/async/shares.hpp"
#include "runtime/async/task.hpp"

namespace berth::disk {

// What one user stores, while nothing else of his is being stored.
struct StorageUse {
  ByteSize used;
  ByteSize limit;
  std::optional<async::Shares::Share> share{};
  // Code::no_space where so much more is too much, telling use and limit and what to do. On any thread.
  void require(std::uint64_t incoming) const;
};

class Quota {
 public:
  // `state_dir` tells the file system that a share is of. `bound`: that users are bound at all.
  Quota(async::Executor executor, UserLimits limits, std::string state_dir, bool bound, store::Store& store)
      : limits_(std::move(limits)),
        state_dir_(std::move(state_dir)),
        bound_(bound),
        store_(store),
        transit_(std::move(executor)) {}
  Quota(const Quota&) = delete;
  Quota& operator=(const Quota&) = delete;

  void set_limits(UserLimits limits) { limits_ = std::move(limits); }

  // Nothing for who is not bound. What is stored while it is held is counted by the next: one at a time of each user.
  async::Task<std::optional<StorageUse>> storage(uid_t uid);
  // Code::no_space where so much more is too much.
  async::Task<> require_storage(uid_t uid, std::uint64_t incoming);

  // What comes to be stored: nothing is charged yet.
  Transit::Charge coming(uid_t uid) const { return transit_.open(uid); }
  // So many bytes of it in all. Code::no_space where that is more than is left to him, beside what else is on its way.
  async::Task<> charge(uid_t uid, Transit::Charge& coming, std::uint64_t bytes);
  // A copy of what is stored already: waits until others of his have gone.
  async::Task<Transit::Charge> copy(uid_t uid, std::uint64_t bytes);
  // The files of a snapshot of his, which may be far larger than what is stored of it. Code::too_large where one user
  // may not have so much, however long he waits.
  async::Task<Transit::Charge> files(uid_t uid, std::uint64_t bytes);

  // Code::too_large where so many more jobs are too many beside those that he has.
  void require_places(uid_t uid, std::size_t has, std::size_t more) const;

 private:
  bool binds(uid_t uid) const { return bound_ && uid != 0; }
  std::optional<ByteSize> storage_limit() const;
  std::uint64_t most_in_transit() const;
  async::Task<std::optional<StorageUse>> look(uid_t uid);  // nothing where there is no limit any more

  UserLimits limits_;
  std::string state_dir_;
  bool bound_;
  store::Store& store_;
  async::Shares storing_{1};
  Transit transit_;
};

}  // namespace berth::disk
