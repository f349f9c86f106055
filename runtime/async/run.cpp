#include "runtime/async/run.hpp"

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cstdio>
#include <cstdlib>

#include "runtime/base/error.hpp"

namespace berth::async {
namespace asio = boost::asio;
namespace {

Task<> begin_later(Task<> root) {
  co_await asio::post(asio::use_awaitable);
  co_await std::move(root);
}

struct Root {
  asio::io_context context{1};  // one thread
  asio::cancellation_signal signal;
  bool ended = false;
  std::exception_ptr failure;

  void start(Task<> task) {
    auto on_end = [this](std::exception_ptr thrown) {
      ended = true;
      failure = std::move(thrown);
    };
    asio::co_spawn(context, begin_later(std::move(task)),
                   asio::bind_cancellation_slot(signal.slot(), std::move(on_end)));
  }

  void finish() {
    if (!failure) return;
    if (is_cancellation(failure)) throw Cancelled();
    std::rethrow_exception(failure);
  }
};

[[noreturn]] void give_up(const char* why) {
  std::fprintf(stderr, "async::run: %s\n", why);
  std::abort();
}

}  // namespace

void run_to_end(Task<> task) {
  Root root;
  root.start(std::move(task));
  root.context.run();
  root.finish();
}

void run(Task<> task, std::chrono::milliseconds limit) {
  constexpr auto kGrace = std::chrono::seconds(2);
  Root root;
  root.start(std::move(task));
  root.context.run_for(limit);
  const bool late = !root.ended;
  if (late) {
    root.signal.emit(asio::cancellation_type::terminal);
    root.context.run_for(kGrace);
    if (!root.ended) give_up("the root task ignores that it was stopped");
  }
  // run_for() returns early only when nothing is left to do, so no coroutine is alive then.
  if (!root.context.stopped()) root.context.run_for(kGrace);
  if (!root.context.stopped()) give_up("coroutines outlive the root task");
  if (late) throw Error(Code::timeout, "the test's root task did not end in time");
  root.finish();
}

}  // namespace berth::async
