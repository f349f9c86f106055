#pragma once

// A wakeable condition for coroutines of one loop. It has no memory, so a waiter tests its condition in a
// loop: `while (!done) co_await changed.wait();`. Nothing can change between the test and the wait, because
// nothing else runs there.

#include <list>

#include "runtime/async/task.hpp"

namespace berth::async {

class Event {
 public:
  Event() = default;
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;

  // Until the next notify_all(); throws Cancelled when the caller is stopped.
  Task<> wait();
  // The same, deaf to a stop: for cleanup. A stop that arrives meanwhile is seen by the caller's next
  // co_await.
  Task<> wait_shielded();
  // Wakes those who wait now; they run after the caller's next suspension.
  void notify_all();

 private:
  struct Waiter;
  Task<> park(bool shielded);
  static void resume(Waiter& waiter);

  std::list<Waiter*> waiters_;
};

}  // namespace berth::async
