#include "runtime/async/nursery.hpp"

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cstdio>
#include <cstdlib>

namespace berth::async {
namespace asio = boost::asio;
namespace {

// co_spawn would run the child inside spawn() up to its first wait; and a child stopped before its first wait
// could not end (co_spawn itself then needs a wait, which throws).
Task<> begin_later(Task<> child) {
  co_await asio::post(asio::use_awaitable);
  co_await std::move(child);
}

}  // namespace

Nursery::Nursery(Executor executor, OnFailure on_failure)
    : executor_(std::move(executor)), on_failure_(std::move(on_failure)) {}

Nursery::~Nursery() {
  if (children_.empty()) return;
  std::fprintf(stderr, "a nursery was destroyed while %zu of its tasks still ran\n", children_.size());
  std::abort();
}

void Nursery::spawn(Task<> child) {
  children_.emplace_back();
  const auto self = std::prev(children_.end());
  auto ended = [this, self](std::exception_ptr failure) {
    children_.erase(self);
    if (children_.empty()) emptied_.notify_all();
    if (failure && !is_cancellation(failure)) on_failure_(failure);
  };
  asio::co_spawn(executor_, begin_later(std::move(child)),
                 asio::bind_cancellation_slot(self->signal.slot(), std::move(ended)));
  if (stopping_) self->signal.emit(asio::cancellation_type::terminal);
}

void Nursery::stop() {
  stopping_ = true;
  for (auto& child : children_) child.signal.emit(asio::cancellation_type::terminal);
}

Task<> Nursery::idle() {
  while (!children_.empty()) co_await emptied_.wait();
}

Task<> Nursery::join() {
  while (!children_.empty()) co_await emptied_.wait_shielded();
}

Task<> Nursery::stop_and_join() {
  stop();
  co_await join();
}

}  // namespace berth::async
