#pragma once

// Blocking work (SQLite, libgit2, hashing, file trees) on a few threads, so that the loop never waits.

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include "runtime/async/task.hpp"

namespace berth::async {

// Threads start when first needed, at most `most` of them, and wait without waking until the pool is
// destroyed. The pool outlives every task that offloads to it.
class Pool {
 public:
  explicit Pool(std::size_t most = 2);
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;
  ~Pool();

  // Runs `work` on a thread; its exception is rethrown here. Work that has begun cannot be stopped: a stop of
  // the caller takes effect when it is done. Work still queued is dropped. Code::unavailable where not one thread can
  // be had.
  Task<> run(std::function<void()> work);
  std::size_t threads() const;  // started so far

 private:
  struct Job;
  void enqueue(Job& job);
  bool start_thread(Job& job);
  bool withdraw(Job& job);
  void serve();

  const std::size_t most_;
  mutable std::mutex mutex_;
  std::condition_variable available_;
  std::deque<Job*> queue_;
  std::vector<std::thread> threads_;
  std::size_t free_ = 0;
  bool closing_ = false;
};

// The result of fn(), computed on one of the pool's threads. `fn` lives until it has returned; what it refers
// to is not touched by the loop meanwhile.
template <class F>
Task<std::invoke_result_t<F&>> offload(Pool& pool, F fn) {
  using R = std::invoke_result_t<F&>;
  if constexpr (std::is_void_v<R>) {
    co_await pool.run(std::function<void()>(std::ref(fn)));
  } else {
    std::optional<R> result;
    auto work = [&] { result.emplace(fn()); };
    co_await pool.run(std::function<void()>(std::ref(work)));
    co_return std::move(*result);
  }
}

}  // namespace berth::async
