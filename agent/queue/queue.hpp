#pragma once

// Which job starts next. A pure value: it reads no clock, does no I/O and knows jobs by their sequence number
// only.
//
// Order: higher priority first, then submission. Jobs that are not ready, are held, or ask for more than the
// node has are passed over. The first ready job that does not fit is the head of the queue. Jobs after the
// head may pass it as long as it has been blocked for at most `patience`; from then on its reservation is
// firm, and a job passes only if it cannot delay the head:
//   - it must end, by its own limit, before the time at which the head can start if every running job uses up its
//     limit (unknown while a job without limit holds what the head needs); or
//   - it asks for nothing that the head is short of, and the head still fits the rest.
//
// GPUs are devices: a job gets particular ones when it starts and keeps them until it finishes, whatever is
// withheld or taken out of the list meanwhile. A device that is withheld counts as the node's, so that nobody is
// refused for it, but not for the head: a job that waits for a withheld device keeps nothing free.
//
// Time alone never makes a waiting job startable, it only makes reservations firm. So nobody needs a timer
// for the queue: ask next() after add, set_*, remove and finish, until it gives nothing.
//
// Jobs of equal resources are kept together: a step costs O(log n) in the number of jobs and at most O(m) in
// the number of different resource requests (times the number of GPUs, for those that ask for any), so ten thousand
// equal jobs that do not fit are one comparison.

#include <chrono>
#include <map>
#include <optional>
#include <set>
#include <unordered_map>
#include <vector>

#include "agent/model/resources.hpp"
#include "agent/queue/devices.hpp"
#include "agent/queue/order.hpp"
#include "agent/queue/waiting.hpp"
#include "runtime/base/clock.hpp"

namespace berth::queue {

struct Entry {
  Sequence sequence;
  model::Resources resources;
  int priority = 0;
  bool held = false;
  bool ready = false;  // prepared
  // The longest it may hold its resources once started (time limit and grace); nothing: for ever.
  std::optional<std::chrono::milliseconds> limit;
};

class Queue {
 public:
  // The capacity's GPUs do not count: see set_devices.
  explicit Queue(model::Resources capacity, std::chrono::milliseconds patience = std::chrono::minutes(5));

  // A waiting job. Its sequence must not be in the queue; a job that is started again comes back with its old
  // one, and so to its old place.
  void add(const Entry& entry);
  // All three ignore jobs that do not wait.
  void set_priority(Sequence sequence, int priority);
  void set_held(Sequence sequence, bool held);
  void set_ready(Sequence sequence, bool ready);
  // Takes out a job that waits; false when it did not.
  bool remove(Sequence sequence);

  // The job to start now; nothing when none may. The answer stays the same until start() or another change.
  std::optional<Sequence> next(Steady now);
  // The waiting job holds its resources from now on, and these devices: as many as it asked for where next()
  // named it. Whether it fits is not asked, and what is not there is not given.
  Uuids start(Sequence sequence, Steady now);
  // The same for a job found running after a restart, which holds these devices already.
  void start(Sequence sequence, Steady now, Uuids devices);
  // Gives back the resources of a running job; false when it did not run.
  bool finish(Sequence sequence);

  // The node's GPUs, in the order in which they are handed out. Running jobs keep theirs.
  void set_devices(std::vector<Device> devices);
  // As the constructor has them. What runs, runs on, though it may be more than that.
  void set_capacity(const model::Resources& capacity, std::chrono::milliseconds patience);
  // A drained node starts nothing.
  void set_drained(bool drained) { drained_ = drained; }

  bool drained() const { return drained_; }
  // Of GPUs, how many there are and how many are held by somebody.
  const model::Resources& capacity() const { return capacity_; }
  model::Resources used() const;
  const std::vector<DeviceUse>& devices() const { return devices_.all(); }
  // What a running job holds; nothing for others.
  Uuids devices_of(Sequence sequence) const;
  // The running jobs that hold a device, the first submitted first.
  std::vector<Sequence> holders_of(const std::string& uuid) const;
  std::size_t waiting() const { return waiting_.size(); }
  std::size_t running() const { return running_.size(); }
  // Whether a job waits for something else than to be released.
  bool any_released() const { return !order_.empty(); }
  bool is_waiting(Sequence sequence) const { return waiting_.contains(sequence); }
  bool is_running(Sequence sequence) const { return running_.contains(sequence); }

  // The waiting jobs in the order in which they are considered, the held ones last; at most `most`.
  std::vector<Sequence> first_waiting(std::size_t most) const;

  // What can never run here, in words: "asks for 2 GPUs, this node has 1 GPU". Nothing when it can.
  std::optional<std::string> never_fits(const model::Resources& resources) const;
  // How many of the waiting jobs that is said of.
  std::size_t too_big() const;
  Waiting why(Sequence sequence, Steady now) const;

 private:
  // Ready jobs that ask for the same. Those with a limit are in `limited` as well, by their limit.
  struct Shape {
    std::set<Rank> all;
    std::map<std::chrono::milliseconds, std::set<Rank>> limited;
  };
  using Shapes = std::map<model::Resources, Shape, ByAmounts>;

  struct Waiter {
    Shapes::iterator shape;  // end() while it is not ready or held
    model::Resources resources;
    std::optional<std::chrono::milliseconds> limit;
    Steady blocked{};  // since when it has been the head and did not fit; zero: not yet
    int priority = 0;
    bool held = false;
    bool ready = false;
  };
  struct Runner {
    model::Resources resources;
    Uuids devices;
    std::optional<Steady> release;  // when it will be over at the latest
  };
  struct Head {
    Rank rank;
    model::Resources resources;
    Steady blocked;
  };

  static Rank rank_of(Sequence sequence, const Waiter& waiter) { return {waiter.priority, sequence}; }
  bool fits_now(const model::Resources& resources) const;
  bool fits_idle(const model::Resources& resources) const;
  model::Resources lacking(const model::Resources& asked) const;
  bool leaves_room(const model::Resources& taken, const model::Resources& head) const;
  bool is_firm(const Head& head, Steady now) const { return now - head.blocked > patience_; }
  std::optional<Head> find_head(Steady now) const;
  std::optional<Rank> first_that_passes(const Head& head, Steady now) const;
  std::optional<Steady> start_of(const model::Resources& resources, Steady now) const;
  void enter(Sequence sequence, Waiter& waiter);
  void leave(Sequence sequence, Waiter& waiter);
  void index(Sequence sequence, Waiter& waiter);
  void unindex(Sequence sequence, Waiter& waiter);
  void name_users(Waiting& waiting) const;
  void name_withheld(Waiting& waiting) const;

  model::Resources capacity_;
  std::chrono::milliseconds patience_;
  bool drained_ = false;
  model::Resources used_;  // but for GPUs
  Devices devices_;
  std::unordered_map<Sequence, Waiter> waiting_;
  std::unordered_map<Sequence, Runner> running_;
  Order order_;  // all that wait and are not held
  Shapes shapes_;  // those of them that are ready
};

}  // namespace berth::queue
