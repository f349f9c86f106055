#include "runtime/async/cleanup.hpp"

#include <boost/asio/co_spawn.hpp>

#include "runtime/async/event.hpp"
#include "runtime/base/error.hpp"

namespace berth::async {
namespace asio = boost::asio;

namespace detail {

Task<> apart(Task<> task) {
  bool ended = false;
  std::exception_ptr failure;
  Event end;
  auto on_end = [&](std::exception_ptr thrown) {
    ended = true;
    failure = std::move(thrown);
    end.notify_all();
  };
  asio::co_spawn(co_await this_coro::executor, std::move(task), std::move(on_end));
  while (!ended) co_await end.wait_shielded();
  if (failure) std::rethrow_exception(failure);
}

std::exception_ptr both_failed(std::exception_ptr body, std::exception_ptr cleanup) {
  try {
    std::rethrow_exception(body);
  } catch (Error& error) {
    error.add_context("and then cleaning up failed: " + error_from(cleanup).describe());
    return std::current_exception();
  } catch (...) {
    return body;
  }
}

}  // namespace detail

Task<> with_cleanup(Task<> body, Task<> cleanup) {
  std::exception_ptr failure;
  try {
    co_await std::move(body);
  } catch (...) {
    failure = std::current_exception();
  }
  // The cleanup runs as a coroutine of its own, rather than after reset_cancellation_state(), so that this
  // coroutine still knows afterwards that it was asked to stop.
  const bool throws = co_await this_coro::throw_if_cancelled();
  co_await this_coro::throw_if_cancelled(false);
  std::exception_ptr cleanup_failure;
  try {
    co_await detail::apart(std::move(cleanup));
  } catch (...) {
    cleanup_failure = std::current_exception();
  }
  co_await this_coro::throw_if_cancelled(throws);
  if (failure && cleanup_failure) failure = detail::both_failed(failure, cleanup_failure);
  if (failure) std::rethrow_exception(failure);
  if (cleanup_failure) std::rethrow_exception(cleanup_failure);
}

}  // namespace berth::async
