#include "runtime/http/server.hpp"

#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cerrno>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "runtime/async/attempt.hpp"
#include "runtime/async/cleanup.hpp"
#include "runtime/async/deadline.hpp"
#include "runtime/async/nursery.hpp"
#include "runtime/async/shares.hpp"
#include "runtime/async/wait.hpp"
#include "runtime/base/error.hpp"
#include "runtime/http/arrivals.hpp"
#include "runtime/http/error_json.hpp"
#include "runtime/http/session.hpp"

namespace berth::http {
namespace asio = boost::asio;
namespace {

using Protocol = asio::local::stream_protocol;
using asio::basic_socket_acceptor;

constexpr auto kToken = asio::as_tuple(asio::use_awaitable);
// In one turn of the loop. To accept is cheap, and brings those to their turn who stand behind many of another's.
constexpr std::size_t kAcceptedAtOnce = 64;
constexpr std::size_t kAdmittedAtOnce = 4;
constexpr std::chrono::milliseconds kWithoutDescriptors{100};

}  // namespace

class Server::State : public SessionHost {
 public:
  State(async::Executor executor, os::Fd listener, const Router& router, Limits limits, OnFailure on_failure)
      : router_(router),
        limits_(std::move(limits)),
        memory_(limits_.memory_per_user, limits_.memory),
        shares_(limits_.requests_per_user),
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
    for (auto* session : sessions_) session->stop();
  }

  std::size_t connections() const { return sessions_.size(); }

  const Router& router() const override { return router_; }
  const Limits& limits() const override { return limits_; }
  void report(std::exception_ptr failure) override { on_failure_(std::move(failure)); }
  MemoryBudget& memory() override { return memory_; }
  async::Task<async::Shares::Share> share(uid_t user) override {
    if (limits_.trusted(user)) co_return async::Shares::Share();
    co_return co_await shares_.take(user);
  }

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
  // A connection's place, among all and among its user's, for as long as it is served.
  class Place {
   public:
    Place(std::map<uid_t, std::size_t>& taken, uid_t user) : taken_(&taken), user_(user) { ++taken[user]; }
    Place(Place&& other) noexcept : taken_(std::exchange(other.taken_, nullptr)), user_(other.user_) {}
    Place& operator=(Place&&) = delete;
    ~Place() {
      if (taken_ == nullptr) return;
      const auto found = taken_->find(user_);
      if (--found->second == 0) taken_->erase(found);
    }

   private:
    std::map<uid_t, std::size_t>* taken_;
    uid_t user_;
  };

  async::Task<> accept_all() {
    while (!stopping_) {
      if (arrivals_.empty()) co_await somebody_comes();
      if (stopping_) co_return;
      const bool lacking = !accept_some();
      for (std::size_t admitted = 0; admitted < kAdmittedAtOnce && !arrivals_.empty(); ++admitted)
        admit(*arrivals_.next());
      if (lacking)
        co_await async::sleep_for(kWithoutDescriptors);
      else
        co_await asio::post(asio::use_awaitable);  // those inside go on meanwhile
    }
  }

  async::Task<> somebody_comes() {
    const auto [failure] = co_await acceptor_.async_wait(asio::socket_base::wait_read, kToken);
    if (!failure || stopping_) co_return;
    if (failure == asio::error::operation_aborted) throw Cancelled();
    report(std::make_exception_ptr(errno_error(failure.value(), "wait for", "connections")));
    co_await async::sleep_for(kWithoutDescriptors);
  }

  // As many as there are, up to a bound; false where the machine lacks what they need.
  bool accept_some() {
    for (std::size_t accepted = 0; accepted < kAcceptedAtOnce && arrivals_.size() < limits_.connections; ++accepted) {
      os::Fd descriptor(::accept4(acceptor_.native_handle(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
      boost::system::error_code failure(descriptor ? 0 : errno, boost::system::system_category());
      Protocol::socket socket(acceptor_.get_executor());
      if (!failure) socket.assign(Protocol(), descriptor.get(), failure);
      if (failure == asio::error::would_block) return true;
      if (failure == asio::error::interrupted || failure == asio::error::connection_aborted) continue;
      if (failure) {
        report(std::make_exception_ptr(errno_error(failure.value(), "accept", "a connection")));
        return false;
      }
      descriptor.release();
      receive(Connection(std::move(socket)));
    }
    return true;
  }

  void receive(Connection connection) {
    uid_t user = 0;
    try {
      user = connection.peer().uid;
    } catch (const Error&) {
      return;  // gone already
    }
    if (!limits_.trusted(user) && arrivals_.of(user) >= limits_.connections_per_user)
      return refuse(connection, too_many(arrivals_.of(user)));
    arrivals_.add(user, std::move(connection));
  }

  void admit(std::pair<uid_t, Connection> arrival) {
    auto& [user, connection] = arrival;
    if (const auto refusal = make_place_for(user)) return refuse(connection, *refusal);
    nursery_.spawn(serve(std::move(connection), Place(places_, user)));
  }

  struct Refusal {
    int status;
    Error error;
  };

  static Refusal too_many(std::size_t own) {
    return {429, Error(Code::unavailable, "you have " + std::to_string(own) + " connections to the agent already",
                       "close some of them; each command that follows or waits for a job holds one")};
  }

  // Why there is none.
  std::optional<Refusal> make_place_for(uid_t user) {
    const bool trusted = limits_.trusted(user);
    const auto found = places_.find(user);
    const auto own = found == places_.end() ? 0 : found->second;
    if (!trusted && own >= limits_.connections_per_user && !close_idle(user)) return too_many(own);
    const auto reserved = trusted ? 0 : std::min(limits_.reserved_connections, limits_.connections / 2);
    if (nursery_.size() - leaving() >= limits_.connections - reserved && !close_idle(busiest_with_idle()))
      return Refusal{
          503, Error(Code::unavailable, "the agent has as many connections as it may have", "try again in a moment")};
    return std::nullopt;
  }

  // Those whose end is only a matter of the loop's next turns.
  std::size_t leaving() const {
    return static_cast<std::size_t>(
        std::count_if(sessions_.begin(), sessions_.end(), [](const Session* session) { return session->leaving(); }));
  }

  std::optional<uid_t> busiest_with_idle() const {
    std::map<uid_t, std::size_t> idle;
    for (const auto* session : sessions_)
      if (session->idle()) ++idle[session->user()];
    std::optional<uid_t> busiest;
    for (const auto& [user, count] : idle)
      if (!busiest || places_.at(user) > places_.at(*busiest)) busiest = user;
    return busiest;
  }

  // Of the user's idle connections the oldest.
  bool close_idle(std::optional<uid_t> user) {
    if (!user) return false;
    for (auto* session : sessions_)
      if (session->user() == *user && session->leave()) return true;
    return false;
  }

  // In one go, waiting for nothing: the answer fits into the socket's buffer.
  void refuse(Connection& connection, const Refusal& refusal) {
    const auto body = to_json(refusal.error);
    const std::string head = "HTTP/1.1 " + std::to_string(refusal.status) + " " +
                             std::string(reason_phrase(refusal.status)) +
                             "\r\nContent-Type: application/json\r\nContent-Length: " + std::to_string(body.size()) +
                             "\r\nRetry-After: 1\r\nConnection: close\r\n\r\n";
    std::array<std::string_view, 2> pieces{head, body};
    try {
      connection.send_some(pieces);
    } catch (const Error&) {  // it has gone
    }
  }

  async::Task<> serve(Connection connection, Place place) {
    const Place kept(std::move(place));
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
  MemoryBudget memory_;
  async::Shares shares_;
  OnFailure on_failure_;
  asio::steady_timer timer_;
  std::optional<Steady> wake_;
  basic_socket_acceptor<Protocol> acceptor_;
  Arrivals<Connection> arrivals_;
  std::map<uid_t, std::size_t> places_;
  std::list<Session*> sessions_;  // the oldest first
  bool stopping_ = false;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);  // for the timer's handler
  async::Nursery nursery_;
};

Server::Server(async::Executor executor, os::Fd listener, const Router& router, Limits limits, OnFailure on_failure)
    : state_(std::make_unique<State>(std::move(executor), std::move(listener), router, limits, std::move(on_failure))) {
}
Server::~Server() = default;

async::Task<> Server::run() { return state_->run(); }
void Server::stop() { state_->stop(); }
std::size_t Server::connections() const { return state_->connections(); }

}  // namespace berth::http
