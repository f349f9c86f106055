#include "runtime/async/lanes.hpp"

#include <boost/asio/associated_cancellation_slot.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "runtime/async/no_thread.hpp"
#include "runtime/base/error.hpp"
#include "runtime/os/priority.hpp"

namespace berth::async {
namespace asio = boost::asio;
namespace {

using Handler = asio::async_result<asio::use_awaitable_t<>, void()>::handler_type;

constexpr int kNiceness = 5;

}  // namespace

// Lives in the frame of the coroutine that waits for it.
struct Lanes::Job {
  Executor executor;
  Owner owner;
  Work work;
  std::stop_source stop;
  std::optional<Handler> handler{};
  std::exception_ptr failure{};
  bool dropped = false;

  // Continues the coroutine on its loop; the job may be gone when this returns.
  void done() {
    auto resume = std::move(*handler);
    const auto where = executor;
    asio::post(where, [resumed = std::move(resume)]() mutable { std::move(resumed)(); });
  }
};

Lanes::~Lanes() {
  std::unique_lock lock(mutex_);
  ended_now_.wait(lock, [this] { return threads_.empty(); });
  for (auto& thread : ended_) thread.join();
}

std::size_t Lanes::running() const {
  const std::lock_guard lock(mutex_);
  std::size_t all = 0;
  for (const auto& [owner, line] : lines_) all += line.running;
  return all;
}

std::size_t Lanes::waiting() const {
  const std::lock_guard lock(mutex_);
  std::size_t all = 0;
  for (const auto& [owner, line] : lines_) all += line.waiting.size();
  return all;
}

Task<> Lanes::run(Owner owner, Work work, std::stop_source stop) {
  auto executor = co_await this_coro::executor;
  Job job{std::move(executor), owner, std::move(work), std::move(stop)};
  const auto drop = [this, &job] {
    if (!withdraw(job)) return;
    job.dropped = true;
    job.done();
  };
  std::optional<std::stop_callback<std::function<void()>>> when_stopped;
  auto initiate = [this, &job, &drop, &when_stopped](Handler handler) {
    auto slot = asio::get_associated_cancellation_slot(handler);
    job.handler.emplace(std::move(handler));
    if (slot.is_connected()) slot.assign([&job](asio::cancellation_type) { job.stop.request_stop(); });
    enqueue(job);
    when_stopped.emplace(job.stop.get_token(), drop);
  };
  co_await asio::async_initiate<const asio::use_awaitable_t<>, void()>(std::move(initiate), asio::use_awaitable);
  when_stopped.reset();
  if (job.dropped) throw Cancelled();
  {
    // The worker has left the loop's queue, so that the loop may end now.
    const std::lock_guard lock(mutex_);
  }
  if (job.failure) std::rethrow_exception(job.failure);
}

void Lanes::enqueue(Job& job) {
  const std::lock_guard lock(mutex_);
  for (auto& thread : ended_) thread.join();
  ended_.clear();
  auto& line = lines_[job.owner];
  if (line.waiting.empty() && line.running == 0) line.served = served_;  // absence earns no credit, nor costs any
  line.waiting.push_back(&job);
  if (line.running >= bounds_.per_owner) return;  // a thread that works for him goes on with it
  try {
    start_thread();
  } catch (const std::exception& why) {
    std::erase(line.waiting, &job);
    forget_if_idle(job.owner);
    job.failure = no_thread(why);  // nothing may leave this function, which the loop calls
    job.done();
  }
}

bool Lanes::withdraw(Job& job) {
  const std::lock_guard lock(mutex_);
  const auto line = lines_.find(job.owner);
  if (line == lines_.end() || std::erase(line->second.waiting, &job) == 0) return false;
  forget_if_idle(job.owner);
  return true;
}

void Lanes::forget_if_idle(Owner owner) {
  const auto line = lines_.find(owner);
  if (line != lines_.end() && line->second.waiting.empty() && line->second.running == 0) lines_.erase(line);
}

// With the mutex held: of those who may have one more lane, the one served longest ago.
Lanes::Job* Lanes::next() {
  Line* best = nullptr;
  for (auto& [owner, line] : lines_) {
    if (line.waiting.empty() || line.running >= bounds_.per_owner) continue;
    if (best == nullptr || line.served < best->served) best = &line;
  }
  if (best == nullptr) return nullptr;
  Job* job = best->waiting.front();
  best->waiting.pop_front();
  ++best->running;
  best->served = ++served_;
  return job;
}

void Lanes::start_thread() {
  if (threads_.size() >= bounds_.in_all) return;
  const auto self = threads_.emplace(threads_.end());
  try {
    *self = std::thread([this, self] { serve(self); });
  } catch (...) {
    threads_.erase(self);
    if (threads_.empty()) throw;  // else another one does it in its turn
  }
}

void Lanes::perform(std::unique_lock<std::mutex>& lock, Job& job) {
  const auto owner = job.owner;
  lock.unlock();
  try {
    job.work(job.stop.get_token());
  } catch (...) {
    job.failure = std::current_exception();
  }
  lock.lock();
  --lines_.at(owner).running;
  forget_if_idle(owner);
  job.done();
}

void Lanes::serve(std::list<std::thread>::iterator self) {
  os::be_nice(kNiceness);
  std::unique_lock lock(mutex_);
  while (Job* job = next()) perform(lock, *job);
  ended_.splice(ended_.end(), threads_, self);
  ended_now_.notify_all();
}

}  // namespace berth::async
