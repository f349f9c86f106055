#include "runtime/async/offload.hpp"

#include <algorithm>
#include <boost/asio/associated_cancellation_slot.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "runtime/async/no_thread.hpp"
#include "runtime/base/error.hpp"
#include "runtime/os/priority.hpp"

namespace berth::async {
namespace asio = boost::asio;

using Handler = asio::async_result<asio::use_awaitable_t<>, void()>::handler_type;

// Lives in the frame of the coroutine that waits for it.
struct Pool::Job {
  Job(Executor where, std::function<void()> what) : executor(std::move(where)), work(std::move(what)) {}
  Executor executor;
  std::function<void()> work;
  std::optional<Handler> handler;
  std::exception_ptr failure;
  bool dropped = false;

  // Continues the coroutine on its loop; the job may be gone when this returns.
  void done() {
    auto waiting = std::move(*handler);
    const auto where = executor;
    asio::post(where, [resumed = std::move(waiting)]() mutable { std::move(resumed)(); });
  }
};

Pool::Pool(std::size_t most) : most_(most) {}

Pool::~Pool() {
  {
    const std::lock_guard lock(mutex_);
    closing_ = true;
  }
  available_.notify_all();
  for (auto& thread : threads_) thread.join();
}

std::size_t Pool::threads() const {
  const std::lock_guard lock(mutex_);
  return threads_.size();
}

Task<> Pool::run(std::function<void()> work) {
  Job job(co_await this_coro::executor, std::move(work));
  auto initiate = [this, &job](Handler handler) {
    auto slot = asio::get_associated_cancellation_slot(handler);
    job.handler.emplace(std::move(handler));
    if (slot.is_connected()) {
      slot.assign([this, &job](asio::cancellation_type) {
        if (!withdraw(job)) return;
        job.dropped = true;
        job.done();
      });
    }
    enqueue(job);
  };
  co_await asio::async_initiate<const asio::use_awaitable_t<>, void()>(std::move(initiate), asio::use_awaitable);
  if (job.dropped) throw Cancelled();
  {
    // The worker has left the loop's queue, so that the loop may end now.
    const std::lock_guard lock(mutex_);
  }
  if (job.failure) std::rethrow_exception(job.failure);
}

void Pool::enqueue(Job& job) {
  const std::lock_guard lock(mutex_);
  queue_.push_back(&job);
  if (free_ < queue_.size() && threads_.size() < most_ && !start_thread(job)) return;
  available_.notify_one();
}

// False where nobody will do the job: it has been told so. Nothing may be thrown here, which the loop calls.
bool Pool::start_thread(Job& job) {
  try {
    threads_.emplace_back([this] { serve(); });
    ++free_;
  } catch (const std::exception& why) {
    if (!threads_.empty()) return true;  // another one does it in its turn
    std::erase(queue_, &job);
    job.failure = no_thread(why);
    job.done();
    return false;
  }
  return true;
}

bool Pool::withdraw(Job& job) {
  const std::lock_guard lock(mutex_);
  return std::erase(queue_, &job) > 0;
}

void Pool::serve() {
  os::be_usual();
  std::unique_lock lock(mutex_);
  while (true) {
    available_.wait(lock, [this] { return closing_ || !queue_.empty(); });
    if (queue_.empty()) return;
    Job& job = *queue_.front();
    queue_.pop_front();
    --free_;
    lock.unlock();
    try {
      job.work();
    } catch (...) {
      job.failure = std::current_exception();
    }
    lock.lock();
    ++free_;  // before the loop hears of it, which may bring the next job at once
    job.done();
  }
}

}  // namespace berth::async
