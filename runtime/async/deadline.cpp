#include "runtime/async/deadline.hpp"

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <functional>

#include "runtime/async/event.hpp"
#include "runtime/async/wait.hpp"
#include "runtime/base/error.hpp"
#include "runtime/base/units.hpp"

namespace berth::async {
namespace asio = boost::asio;
namespace {

// One of the two tasks of run_until, from its start to its end.
struct Side {
  asio::cancellation_signal signal;
  std::exception_ptr failure;
  bool ended = false;

  void stop() {
    if (!ended) signal.emit(asio::cancellation_type::terminal);
  }
  bool failed() const { return failure && !is_cancellation(failure); }
};

// A task that begins on the loop's next turn: a stop before that is then seen, and its first co_await has
// switched context, which co_spawn needs to end a stopped coroutine.
Task<> begin_later(Task<> task) {
  co_await asio::post(asio::use_awaitable);
  co_await std::move(task);
}

void start(const Executor& executor, Task<> task, Side& side, std::function<void()> on_end) {
  auto ended = [&side, on_end = std::move(on_end)](std::exception_ptr failure) {
    side.ended = true;
    side.failure = std::move(failure);
    on_end();
  };
  asio::co_spawn(executor, begin_later(std::move(task)),
                 asio::bind_cancellation_slot(side.signal.slot(), std::move(ended)));
}

}  // namespace

Task<bool> run_until(Task<> main, Task<> interrupter) {
  Side work;
  Side watch;
  Event changed;
  bool interrupted = false;
  const auto executor = co_await this_coro::executor;
  start(executor, std::move(main), work, [&] {
    watch.stop();
    changed.notify_all();
  });
  start(executor, std::move(interrupter), watch, [&] {
    interrupted = !work.ended && !watch.failure;
    work.stop();
    changed.notify_all();
  });

  bool stopped = false;
  try {
    while (!work.ended || !watch.ended) co_await changed.wait();
  } catch (const Cancelled&) {
    stopped = true;
  }
  if (stopped) {
    work.stop();
    watch.stop();
    const bool throws = co_await this_coro::throw_if_cancelled();
    co_await this_coro::throw_if_cancelled(false);
    while (!work.ended || !watch.ended) co_await changed.wait_shielded();
    co_await this_coro::throw_if_cancelled(throws);
  }
  if (work.failed()) std::rethrow_exception(work.failure);
  if (watch.failed()) std::rethrow_exception(watch.failure);
  if (work.failure && !interrupted) throw Cancelled();
  co_return work.failure != nullptr;
}

Task<> with_deadline(std::chrono::nanoseconds limit, Task<> task, std::string what) {
  const bool late = co_await run_until(std::move(task), sleep_for(limit));
  if (!late) co_return;
  throw Error(Code::timeout,
              what + " took longer than " + to_words(std::chrono::duration_cast<std::chrono::microseconds>(limit)));
}

}  // namespace berth::async
