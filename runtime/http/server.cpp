#include "runtime/http/server.hpp"

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <list>
#include <memory>
#include <optional>
#include <utility>

#include "runtime/async/attempt.hpp"
#include "runtime/async/cleanup.hpp"
#include "runtime/async/deadline.hpp"
#include "runtime/async/event.hpp"
#include "runtime/async/nursery.hpp"
#include "runtime/async/wait.hpp"
#include "runtime/base/error.hpp"
#include "runtime/http/session.hpp"

namespace berth::http {
namespace asio = boost::asio;
namespace {

using Protocol = asio::local::stream_protocol;
using asio::basic_socket_acceptor;

constexpr auto kToken = asio::as_tuple(asio::use_awaitable);

}  // namespace

class Server::State : public SessionHost {
 public:
  State(async::Executor executor, os::Fd listener, const Router& router, Limits limits, OnFailure on_failure)
      : router_(router),
        limits_(limits),
        on_failure_(std::move(on_failure)),
        timer_(executor),
        acceptor_(executor, Protocol(), listener.get()),
        nursery_(executor, [this](std::exception_ptr failure) { report(std::move(failure)); }) {
    listener.release();  // the acceptor closes it
  }

  async::Task<> run() { co_await async::with_cleanup(accept_all(), drain()); }

  void stop() {
    stopping_ = true;
    boost::system::error_code ignored;
    acceptor_.close(ignored);
    room_.notify_all();
    for (auto* session : sessions_) session->stop();
  }

  std::size_t connections() const { return sessions_.size(); }

  const Router& router() const override { return router_; }
  const Limits& limits() const override { return limits_; }
  void report(std::exception_ptr failure) override { on_failure_(std::move(failure)); }

  // One timer for all sessions, set for the earliest time limit only while there is one.
  void watch(Steady due) override {
    if (wake_ && *wake_ <= due) return;
    wake_ = due;
    timer_.expires_at(due);
    timer_.async_wait([this, alive = std::weak_ptr(alive_)](boost::system::error_code stopped) {
      if (!stopped && !alive.expired()) expire();
    });
  }

 private:
  async::Task<> accept_all() {
    while (!stopping_) {
      if (nursery_.size() >= limits_.connections) {
        co_await room_.wait();
        continue;
      }
      auto [failure, socket] = co_await acceptor_.async_accept(kToken);
      if (stopping_) break;
      if (!failure) {
        nursery_.spawn(serve(Connection(std::move(socket))));
        continue;
      }
      if (failure == asio::error::operation_aborted) throw Cancelled();
      report(std::make_exception_ptr(errno_error(failure.value(), "accept", "a connection")));
      co_await async::sleep_for(std::chrono::milliseconds(100));  // out of descriptors, most likely
    }
  }

  async::Task<> serve(Connection connection) {
    Session session(*this, std::move(connection));
    const auto self = sessions_.insert(sessions_.end(), &session);
    if (stopping_) session.stop();
    std::exception_ptr failure;
    try {
      co_await session.serve();
    } catch (...) {
      failure = std::current_exception();
    }
    sessions_.erase(self);
    room_.notify_all();
    if (failure) std::rethrow_exception(failure);
  }

  async::Task<> drain() {
    stop();
    if (nursery_.size() > 0) {
      const auto drained = co_await async::attempt(async::with_deadline(limits_.drain_time, nursery_.idle()));
      static_cast<void>(drained);  // what is left is stopped
    }
    co_await nursery_.stop_and_join();
    timer_.cancel();
  }

  void expire() {
    wake_.reset();
    const auto now = std::chrono::steady_clock::now();
    for (auto* session : sessions_)
      if (const auto due = session->expire(now)) watch(*due);
  }

  const Router& router_;
  const Limits limits_;
  OnFailure on_failure_;
  asio::steady_timer timer_;
  std::optional<Steady> wake_;
  basic_socket_acceptor<Protocol> acceptor_;
  std::list<Session*> sessions_;
  async::Event room_;
  bool stopping_ = false;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);  // for the timer's handler
  async::Nursery nursery_;
};

Server::Server(async::Executor executor, os::Fd listener, const Router& router, Limits limits,
               OnFailure on_failure)
    : state_(std::make_unique<State>(std::move(executor), std::move(listener), router, limits,
                                     std::move(on_failure))) {}
Server::~Server() = default;

async::Task<> Server::run() {
  return state_->run();
}
void Server::stop() {
  state_->stop();
}
std::size_t Server::connections() const {
  return state_->connections();
}

}  // namespace berth::http
