#pragma once

// The queue's rules as plainly as they can be written: one loop over a sorted list. What agent/queue is held
// against.

#include <optional>
#include <vector>

#include "agent/queue/queue.hpp"

namespace berth::queue {

class NaiveQueue {
 public:
  NaiveQueue(model::Resources capacity, std::chrono::milliseconds patience)
      : capacity_(capacity), patience_(patience) {}

  void add(const Entry& entry) { waiting_.push_back({entry, std::nullopt}); }
  void set_priority(Sequence sequence, int priority);
  void set_held(Sequence sequence, bool held);
  void set_ready(Sequence sequence, bool ready);
  void remove(Sequence sequence);
  void set_devices(std::vector<Device> devices) { devices_ = std::move(devices); }
  void set_drained(bool drained) { drained_ = drained; }
  std::optional<Sequence> next(Steady now);
  Uuids start(Sequence sequence, Steady now);
  void finish(Sequence sequence);

  std::size_t ahead(Sequence sequence) const;
  model::Resources used() const;

  struct Waiter {
    Entry entry;
    std::optional<Steady> blocked;
  };
  struct Runner {
    Entry entry;
    Steady started;
    Uuids devices;
  };
  const std::vector<Waiter>& waiting() const { return waiting_; }
  const std::vector<Runner>& running() const { return running_; }
  // Whether these resources are free; and whether they are the node's, were it idle.
  bool fits_now(const model::Resources& resources) const { return fits_beside(resources, running_); }
  bool fits_idle(const model::Resources& resources) const { return fits_beside(resources, {}); }
  // When these resources are free at the latest.
  std::optional<Steady> start_of(const model::Resources& resources, Steady now) const;

 private:
  Waiter* find(Sequence sequence);
  Uuids offered(const model::Resources& resources, const std::vector<Runner>& running) const;
  bool fits_beside(const model::Resources& resources, const std::vector<Runner>& running) const;
  bool may_pass(const Entry& entry, const Waiter& head, Steady now) const;

  model::Resources capacity_;
  std::chrono::milliseconds patience_;
  std::vector<Device> devices_;
  bool drained_ = false;
  std::vector<Waiter> waiting_;
  std::vector<Runner> running_;
};

}  // namespace berth::queue
