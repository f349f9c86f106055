#pragma once

// A group of concurrent tasks that its owner outlives: the only way to start one. A failure of a child is
// reported to the handler given at construction and costs nobody else; a child that was stopped ends
// silently.
//
// The destructor aborts the program when children still run, so end a nursery's life with
// `with_cleanup(body, nursery.stop_and_join())` or use with_nursery().

#include <boost/asio/cancellation_signal.hpp>
#include <functional>
#include <list>
#include <type_traits>
#include <utility>

#include "runtime/async/cleanup.hpp"
#include "runtime/async/event.hpp"
#include "runtime/async/task.hpp"

namespace berth::async {

class Nursery {
 public:
  using OnFailure = std::function<void(std::exception_ptr)>;

  Nursery(Executor executor, OnFailure on_failure);
  Nursery(const Nursery&) = delete;
  Nursery& operator=(const Nursery&) = delete;
  ~Nursery();

  // Starts the task on the loop's next turn. What it refers to must outlive the nursery. After stop() it
  // never begins.
  void spawn(Task<> child);

  // Starts child(); the callable with its captures lives as long as the task.
  template <class F>
    requires std::is_invocable_r_v<Task<>, F&>
  void spawn(F child) {
    spawn(hold(std::move(child)));
  }

  // Asks every child, present and future, to stop.
  void stop();
  bool stopping() const { return stopping_; }
  std::size_t size() const { return children_.size(); }

  // Waits until no child is left; a stop of the caller ends the wait and leaves the children running.
  Task<> idle();
  // The same, deaf to a stop that arrives while it waits.
  Task<> join();
  Task<> stop_and_join();

 private:
  struct Child {
    boost::asio::cancellation_signal signal;
  };

  template <class F>
  static Task<> hold(F child) {
    co_await child();
  }

  Executor executor_;
  OnFailure on_failure_;
  std::list<Child> children_;
  Event emptied_;
  bool stopping_ = false;
};

// Runs body(nursery), then waits for the children it spawned. A failure or stop of the caller stops the
// children; in every case they have ended when this returns.
template <class Body>
Task<> with_nursery(Nursery::OnFailure on_failure, Body body) {
  Nursery nursery(co_await this_coro::executor, std::move(on_failure));
  auto work = [](Nursery& group, Body& run) -> Task<> {
    co_await run(group);
    co_await group.idle();
  };
  co_await with_cleanup(work(nursery, body), nursery.stop_and_join());
}

}  // namespace berth::async
