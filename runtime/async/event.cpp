#include "runtime/async/event.hpp"

#include <algorithm>
#include <boost/asio/associated_cancellation_slot.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <optional>
#include <utility>

#include "runtime/base/error.hpp"

namespace berth::async {
namespace asio = boost::asio;

using Handler = asio::async_result<asio::use_awaitable_t<>, void()>::handler_type;

// Lives in the frame of the waiting coroutine.
struct Event::Waiter {
  explicit Waiter(Executor where) : executor(std::move(where)) {}
  Executor executor;
  std::optional<Handler> handler;
  bool stopped = false;
};

Task<> Event::wait() { return park(false); }

Task<> Event::wait_shielded() {
  const bool throws = co_await this_coro::throw_if_cancelled();
  co_await this_coro::throw_if_cancelled(false);
  co_await park(true);
  co_await this_coro::throw_if_cancelled(throws);
}

Task<> Event::park(bool shielded) {
  Waiter waiter(co_await this_coro::executor);
  auto initiate = [this, &waiter, shielded](Handler handler) {
    auto slot = asio::get_associated_cancellation_slot(handler);
    waiter.handler.emplace(std::move(handler));
    waiters_.push_back(&waiter);
    if (shielded || !slot.is_connected()) return;
    slot.assign([this, &waiter](asio::cancellation_type) {
      if (!waiter.handler) return;  // woken already
      waiters_.remove(&waiter);
      waiter.stopped = true;
      resume(waiter);
    });
  };
  co_await asio::async_initiate<const asio::use_awaitable_t<>, void()>(std::move(initiate), asio::use_awaitable);
  if (waiter.stopped) throw Cancelled();
}

void Event::resume(Waiter& waiter) {
  auto handler = std::move(*waiter.handler);
  waiter.handler.reset();
  asio::post(waiter.executor, [resumed = std::move(handler)]() mutable { std::move(resumed)(); });
}

void Event::notify_all() {
  auto woken = std::exchange(waiters_, {});
  for (auto* waiter : woken) resume(*waiter);
}

}  // namespace berth::async
