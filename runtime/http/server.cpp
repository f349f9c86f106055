#include "runtime/http/server.hpp"

#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
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

constexpr auto kToken = asio::as_tuple(asio::use_awaitable);
// In one turn of the loop. To accept is cheap, and brings those to their turn who stand behind many of another's.
constexpr std::size_t kAcceptedAtOnce = 64;
constexpr std::size_t kAdmittedAtOnce = 4;
constexpr std::chrono::milliseconds kWithoutDescriptors{100};

// What accept() tells of a connection that has failed already (accept(2)).
bool is_of_connection(int error_number) {
  for (const int each :
       {EINTR, ECONNABORTED, EPROTO, ENETDOWN, ENOPROTOOPT, EHOSTDOWN, ENONET, EHOSTUNREACH, EOPNOTSUPP, ENETUNREACH})
    if (error_number == each) return true;
  return false;
}

}  // namespace

bool is_root(const Peer& peer) {
  const auto* local = std::get_if<LocalPeer>(&peer);
  return local != nullptr && local->uid == 0;
}

class Server::State : public SessionHost {
 public:
  State(async::Executor executor, os::Fd listener, const Router& router, Limits limits, OnFailure on_failure,
        MakeConnection make_connection)
      : router_(router),
        limits_(std::move(limits)),
        memory_(limits_.memory_per_source, limits_.memory),
        shares_(limits_.requests_per_source),
        on_failure_(std::move(on_failure)),
        make_connection_(std::move(make_connection)),
        executor_(executor),
        timer_(executor),
        listener_(executor, listener.release()),
        nursery_(executor, [this](std::exception_ptr failure) { report(std::move(failure)); }) {}

  async::Task<> run() { co_await async::with_cleanup(accept_all(), drain()); }

  void stop() {
    stopping_ = true;
    boost::system::error_code ignored;
    listener_.close(ignored);
    for (auto* session : sessions_) session->stop();
  }

  std::size_t connections() const { return sessions_.size(); }

  const Router& router() const override { return router_; }
  const Limits& limits() const override { return limits_; }
  void report(std::exception_ptr failure) override { on_failure_(std::move(failure)); }
  MemoryBudget& memory() override { return memory_; }
  async::Task<async::Shares::Share> share(const Peer& peer) override {
    if (limits_.trusted(peer)) co_return async::Shares::Share();
    co_return co_await shares_.take(source_of(peer).value);
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
  // A connection's place, among all and among its source's, for as long as it is served.
  class Place {
   public:
    Place(std::map<Source, std::size_t>& taken, Source source) : taken_(&taken), source_(source) { ++taken[source]; }
    Place(Place&& other) noexcept : taken_(std::exchange(other.taken_, nullptr)), source_(other.source_) {}
    Place& operator=(Place&&) = delete;
    ~Place() {
      if (taken_ == nullptr) return;
      const auto found = taken_->find(source_);
      if (--found->second == 0) taken_->erase(found);
    }

   private:
    std::map<Source, std::size_t>* taken_;
    Source source_;
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
    const auto [failure] = co_await listener_.async_wait(asio::posix::descriptor_base::wait_read, kToken);
    if (!failure || stopping_) co_return;
    if (failure == asio::error::operation_aborted) throw Cancelled();
    report(std::make_exception_ptr(errno_error(failure.value(), "wait for", "connections")));
    co_await async::sleep_for(kWithoutDescriptors);
  }

  // As many as there are, up to a bound; false where the machine lacks what they need.
  bool accept_some() {
    for (std::size_t accepted = 0; accepted < kAcceptedAtOnce && arrivals_.size() < limits_.connections; ++accepted) {
      os::Fd socket(::accept4(listener_.native_handle(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
      if (!socket && (errno == EAGAIN || errno == EWOULDBLOCK)) return true;
      if (!socket && is_of_connection(errno)) continue;
      if (!socket) {
        report(std::make_exception_ptr(errno_error(errno, "accept", "a connection")));
        return false;
      }
      receive(std::move(socket));
    }
    return true;
  }

  void receive(os::Fd socket) {
    std::unique_ptr<Connection> connection;
    try {
      connection = make_connection_(executor_, std::move(socket));
    } catch (const Error&) {
      return;  // gone already
    }
    const auto peer = connection->peer();
    const auto source = source_of(peer);
    if (!limits_.trusted(peer) && arrivals_.of(source) >= limits_.connections_per_source)
      return refuse(*connection, too_many(arrivals_.of(source)));
    arrivals_.add(source, std::move(connection));
  }

  void admit(std::pair<Source, std::unique_ptr<Connection>> arrival) {
    auto& [source, connection] = arrival;
    if (const auto refusal = make_place_for(connection->peer())) return refuse(*connection, *refusal);
    nursery_.spawn(serve(std::move(connection), Place(places_, source)));
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
  std::optional<Refusal> make_place_for(const Peer& peer) {
    const bool trusted = limits_.trusted(peer);
    const auto source = source_of(peer);
    const auto found = places_.find(source);
    const auto own = found == places_.end() ? 0 : found->second;
    if (!trusted && own >= limits_.connections_per_source && !close_idle(source)) return too_many(own);
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

  std::optional<Source> busiest_with_idle() const {
    std::map<Source, std::size_t> idle;
    for (const auto* session : sessions_)
      if (session->idle()) ++idle[session->source()];
    std::optional<Source> busiest;
    for (const auto& [source, count] : idle)
      if (!busiest || places_.at(source) > places_.at(*busiest)) busiest = source;
    return busiest;
  }

  // Of the source's idle connections the oldest.
  bool close_idle(std::optional<Source> source) {
    if (!source) return false;
    for (auto* session : sessions_)
      if (session->source() == *source && session->leave()) return true;
    return false;
  }

  // In one go, waiting for nothing: the answer fits into the socket's buffer.
  void refuse(Connection& connection, const Refusal& refusal) {
    if (connection.must_open()) return;  // nothing can be told yet
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

  async::Task<> serve(std::unique_ptr<Connection> connection, Place place) {
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
  MakeConnection make_connection_;
  async::Executor executor_;
  asio::steady_timer timer_;
  std::optional<Steady> wake_;
  asio::posix::stream_descriptor listener_;
  Arrivals<std::unique_ptr<Connection>> arrivals_;
  std::map<Source, std::size_t> places_;
  std::list<Session*> sessions_;  // the oldest first
  bool stopping_ = false;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);  // for the timer's handler
  async::Nursery nursery_;
};

Server::Server(async::Executor executor, os::Fd listener, const Router& router, Limits limits, OnFailure on_failure,
               MakeConnection make_connection)
    : state_(std::make_unique<State>(std::move(executor), std::move(listener), router, std::move(limits),
                                     std::move(on_failure), std::move(make_connection))) {}
Server::~Server() = default;

async::Task<> Server::run() { return state_->run(); }
void Server::stop() { state_->stop(); }
std::size_t Server::connections() const { return state_->connections(); }

}  // namespace berth::http
