#pragma once

// Long work for somebody (collecting a tree, removing one, searching a large log), apart from the pool that everybody's
// requests are answered with. Each owner has a few lanes of his own, all owners have a few threads together, and who
// was served longest ago is served next: nobody's work keeps another's waiting for longer than one piece of it.

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <list>
#include <map>
#include <mutex>
#include <optional>
#include <stop_token>
#include <thread>
#include <type_traits>
#include <utility>

#include "runtime/async/task.hpp"

namespace berth::async {

// Threads start when there is work for them, a little less urgent than the rest of the program, and end when there is
// none. The lanes outlive every task that uses them.
class Lanes {
 public:
  using Owner = std::uint64_t;  // a uid
  using Work = std::function<void(const std::stop_token&)>;
  struct Bounds {
    std::size_t per_owner = 1;
    std::size_t in_all = 4;
  };

  explicit Lanes(Bounds bounds) : bounds_(bounds) {}
  Lanes(const Lanes&) = delete;
  Lanes& operator=(const Lanes&) = delete;
  ~Lanes();

  // Runs the work on a thread of its own once it is the owner's turn; its exception is rethrown here. A stop of the
  // caller, or of `stop` (of which somebody else may keep a copy), is told to work that has begun, which should look
  // for it often and end; what has not begun is dropped, which is Cancelled. Code::unavailable where not one thread can
  // be had.
  Task<> run(Owner owner, Work work, std::stop_source stop = {});

  std::size_t running() const;
  std::size_t waiting() const;

 private:
  struct Job;
  struct Line {
    std::deque<Job*> waiting;
    std::size_t running = 0;
    std::uint64_t served = 0;  // when last, in pieces of work
  };

  void enqueue(Job& job);
  bool withdraw(Job& job);
  Job* next();
  void start_thread();
  void serve(std::list<std::thread>::iterator self);
  void perform(std::unique_lock<std::mutex>& lock, Job& job);
  void forget_if_idle(Owner owner);

  const Bounds bounds_;
  mutable std::mutex mutex_;
  std::condition_variable ended_now_;
  std::map<Owner, Line> lines_;
  std::uint64_t served_ = 0;
  std::list<std::thread> threads_;
  std::list<std::thread> ended_;  // to be joined, which takes no time any more
};

// The result of fn(stop), computed in a lane of the owner. `fn` lives until it has returned.
template <class F>
Task<std::invoke_result_t<F&, const std::stop_token&>> offload(Lanes& lanes, Lanes::Owner owner, F fn,
                                                               std::stop_source stop = {}) {
  using R = std::invoke_result_t<F&, const std::stop_token&>;
  if constexpr (std::is_void_v<R>) {
    co_await lanes.run(owner, Lanes::Work(std::ref(fn)), std::move(stop));
  } else {
    std::optional<R> result;
    auto work = [&](const std::stop_token& token) { result.emplace(fn(token)); };
    co_await lanes.run(owner, Lanes::Work(std::ref(work)), std::move(stop));
    co_return std::move(*result);
  }
}

}  // namespace berth::async
