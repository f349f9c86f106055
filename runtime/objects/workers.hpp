#pragma once

// Short-lived threads for hashing and compression: they live for one call and an exception of any of them is
// the call's.

#include <condition_variable>
#include <cstdint>
#include <exception>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

namespace berth::objects {

// How many threads pay for this much work: 1 for little, at most 4, never more than this process may use.
unsigned workers_for(std::uint64_t bytes);

// Calls work(i, worker) for every i below `count`, from `workers` threads (the caller's own among them). The
// first exception stops the rest and is thrown.
void parallel_for(unsigned workers, std::size_t count, const std::function<void(std::size_t, unsigned)>& work);

// next() yields items one at a time (never called by two threads at once); work(item, worker) runs on the
// workers; consume(result) gets the results in the items' order, on the caller's thread. A bounded number of
// items is alive.
template <class Item, class Result>
class Pipeline {
 public:
  std::function<std::optional<Item>()> next;
  std::function<Result(Item, unsigned)> work;
  std::function<void(Result)> consume;

  void run(unsigned workers) {
    if (workers <= 1) return run_inline();
    window_ = 2 * workers;
    {
      std::vector<std::jthread> threads;
      try {
        for (unsigned i = 0; i < workers; ++i) threads.emplace_back([this, i] { produce(i); });
      } catch (const std::exception&) {  // as many as could be started do it
      }
      if (threads.empty()) return run_inline();
      try {
        drain(static_cast<unsigned>(threads.size()));
      } catch (...) {
        fail();
      }
    }
    if (failure_) std::rethrow_exception(failure_);
  }

 private:
  void run_inline() {
    while (auto item = next()) consume(work(std::move(*item), 0));
  }

  void produce(unsigned worker) {
    try {
      while (auto claimed = claim()) {
        auto result = work(std::move(claimed->second), worker);
        const std::lock_guard lock(mutex_);
        results_.emplace(claimed->first, std::move(result));
        changed_.notify_all();
      }
    } catch (...) {
      fail();
    }
    const std::lock_guard lock(mutex_);
    ++finished_;
    changed_.notify_all();
  }

  std::optional<std::pair<std::uint64_t, Item>> claim() {
    const std::lock_guard order(order_);  // next() and the numbering belong together
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [&] { return failure_ || claimed_ < consumed_ + window_; });
      if (failure_ || exhausted_) return std::nullopt;
    }
    auto item = next();
    const std::lock_guard lock(mutex_);
    if (!item) {
      exhausted_ = true;
      return std::nullopt;
    }
    return std::pair(claimed_++, std::move(*item));
  }

  void drain(unsigned workers) {
    std::unique_lock lock(mutex_);
    while (true) {
      changed_.wait(lock, [&] { return failure_ || results_.contains(consumed_) || finished_ == workers; });
      auto found = results_.find(consumed_);
      if (failure_ || found == results_.end()) return;
      auto result = std::move(found->second);
      results_.erase(found);
      lock.unlock();
      try {
        consume(std::move(result));
      } catch (...) {
        fail();
      }
      lock.lock();
      ++consumed_;
      changed_.notify_all();
    }
  }

  void fail() {
    const std::lock_guard lock(mutex_);
    if (!failure_) failure_ = std::current_exception();
    changed_.notify_all();
  }

  std::mutex order_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::uint64_t, Result> results_;
  std::exception_ptr failure_;
  std::uint64_t claimed_ = 0;
  std::uint64_t consumed_ = 0;
  std::uint64_t window_ = 4;
  unsigned finished_ = 0;
  bool exhausted_ = false;
};

}  // namespace berth::objects
