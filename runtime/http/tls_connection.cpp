#include "runtime/http/tls_connection.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cerrno>
#include <utility>

#include "runtime/async/wait.hpp"
#include "runtime/base/error.hpp"
#include "runtime/http/error_json.hpp"

namespace berth::http {
namespace asio = boost::asio;
namespace {

using Socket = asio::ip::tcp::socket;

constexpr auto kToken = asio::as_tuple(asio::use_awaitable);
constexpr std::size_t kBlock = 16 << 10;
constexpr std::size_t kSentAtOnce = 64 << 10;
// What a client that reads nothing makes the engine answer (key updates, say).
constexpr std::size_t kMostUnsent = 256 << 10;
constexpr std::chrono::milliseconds kLookAgain{1000};
constexpr int kKeepAliveSeconds = 60;  // of silence, until a client is asked whether it is still there
constexpr int kGoneSeconds = 120;      // without an acknowledgement

std::string address_of(const sockaddr_storage& address) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  const void* bytes = &reinterpret_cast<const sockaddr_in&>(address).sin_addr;
  if (address.ss_family == AF_INET6) bytes = &reinterpret_cast<const sockaddr_in6&>(address).sin6_addr;
  if (::inet_ntop(address.ss_family, bytes, text.data(), text.size()) == nullptr) throw_errno("identify", "a client");
  return text.data();
}

RemotePeer peer_of(const os::Fd& socket) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  if (::getpeername(socket.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0)
    throw_errno("identify", "a client");
  return {address_of(address)};
}

// A client whose machine is gone does not hold its place for ever.
void notice_absence(const os::Fd& socket) {
  auto set = [&](int level, int option, int value) { ::setsockopt(socket.get(), level, option, &value, sizeof value); };
  set(IPPROTO_TCP, TCP_NODELAY, 1);
  set(SOL_SOCKET, SO_KEEPALIVE, 1);
  set(IPPROTO_TCP, TCP_KEEPIDLE, kKeepAliveSeconds);
  set(IPPROTO_TCP, TCP_KEEPINTVL, kKeepAliveSeconds / 4);
  set(IPPROTO_TCP, TCP_USER_TIMEOUT, kGoneSeconds * 1000);
}

// The engine works on memory; the bytes go through the socket when the kernel takes or has them.
class TlsConnection : public Connection {
 public:
  TlsConnection(const async::Executor& executor, os::Fd accepted, Tls tls)
      : socket_(executor), peer_(peer_of(accepted)), tls_(std::move(tls)) {
    notice_absence(accepted);
    boost::system::error_code failure;
    const auto protocol = peer_.address.find(':') == std::string::npos ? asio::ip::tcp::v4() : asio::ip::tcp::v6();
    socket_.assign(protocol, accepted.get(), failure);
    async::check(failure, "accept", "a connection");
    accepted.release();
  }
  ~TlsConnection() override { say_end(); }

  Peer peer() const override { return peer_; }
  bool must_open() const override { return !open_; }

  async::Task<> open() override {
    while (true) {
      const auto step = tls_module().handshake(tls_.get());
      const bool sent = flush();
      if (step == berth_tls_done) break;
      if (step == berth_tls_spoken_plainly) answer_plainly();
      if (step != berth_tls_wants_input) fail();
      if (sent)
        co_await more();
      else
        co_await writable();
    }
    while (!flush()) co_await writable();  // its last words, which the peer waits for
    open_ = true;
    peer_.certificate = certificate_of(tls_.get());
  }

  async::Task<std::size_t> read_some(std::span<char> buffer) override {
    while (true) {
      std::size_t n = 0;
      const auto step = tls_module().read(tls_.get(), buffer.data(), buffer.size(), &n);
      if (step == berth_tls_done) co_return n;
      if (step == berth_tls_closed || ended_) co_return 0;
      if (step != berth_tls_wants_input) fail();
      co_await more();
    }
  }

  bool send_some(std::span<std::string_view> pieces) override {
    while (true) {
      const auto next = std::ranges::find_if(pieces, [](std::string_view piece) { return !piece.empty(); });
      if (next == pieces.end() || unsent_.size() >= kSentAtOnce) {
        if (!flush()) return false;
        if (next == pieces.end()) return true;
      }
      std::size_t n = 0;
      if (tls_module().write(tls_.get(), next->data(), next->size(), &n) != berth_tls_done) fail();
      next->remove_prefix(n);
      take_output();
    }
  }

  async::Task<> readable() override {
    while (!has_input() && !ended_) co_await wait(Socket::wait_read);
  }

  async::Task<> writable() override { co_await wait(Socket::wait_write); }

  // One that has finished sending has closed: half a TLS connection is none. What follows a request is not read before
  // its turn; then only a hang-up is noticed.
  async::Task<> gone() override {
    while (!broken_) {
      const bool more_to_come = !has_input();
      if (ended_ || hung_up()) break;
      const auto what = more_to_come ? Socket::wait_read : Socket::wait_error;
      co_await wait(what);
      if (!more_to_come)
        co_await async::sleep_for(kLookAgain);  // urgent data is an error too, for as long as it is there
    }
    broken_ = true;
  }

  bool broken() const override { return broken_; }

  bool has_input() override {
    if (!open_) return false;
    try {
      while (true) {
        const auto step = tls_module().peek(tls_.get());
        if (step == berth_tls_done) return true;
        if (step != berth_tls_wants_input) ended_ = true;
        if (ended_ || !take_in()) return false;
      }
    } catch (const Error&) {  // broken, which who reads is told
      ended_ = true;
      return false;
    }
  }

  void cancel() override {
    boost::system::error_code ignored;
    socket_.cancel(ignored);
  }

  void end_input() override {
    boost::system::error_code ignored;
    socket_.shutdown(Socket::shutdown_receive, ignored);
  }

  void end_output() override {
    say_end();
    boost::system::error_code ignored;
    socket_.shutdown(Socket::shutdown_send, ignored);
  }

 private:
  async::Task<> wait(Socket::wait_type what) {
    const auto [failure] = co_await socket_.async_wait(what, kToken);
    async::check(failure, "wait for", "a client");
  }

  // Returns when something has come from the wire, or will not any more.
  async::Task<> more() {
    while (!ended_ && !take_in()) co_await wait(Socket::wait_read);
    // While the connection is made, that is all; later, who reads sees the end.
    if (ended_ && !open_) fail();
  }

  // False where nothing is there at this moment.
  bool take_in() {
    std::array<char, kBlock> block;
    while (true) {
      const auto n = ::recv(socket_.native_handle(), block.data(), block.size(), MSG_DONTWAIT);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return false;
      ended_ = n <= 0;
      if (!ended_ && !tls_module().input(tls_.get(), block.data(), static_cast<std::size_t>(n))) fail();
      flush();
      return true;
    }
  }

  void take_output() {
    std::size_t n = 0;
    do {
      const auto size = unsent_.size();
      unsent_.resize(size + kBlock);
      n = tls_module().output(tls_.get(), unsent_.data() + size, kBlock);
      unsent_.resize(size + n);
    } while (n == kBlock);
    if (unsent_.size() > kMostUnsent) fail();
  }

  // True when nothing is left for the wire.
  bool flush() {
    take_output();
    std::size_t sent = 0;
    while (sent < unsent_.size()) {
      const auto n =
          ::send(socket_.native_handle(), unsent_.data() + sent, unsent_.size() - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) break;
      if (n < 0) {
        broken_ = true;
        throw_errno("answer", "a client");
      }
      sent += static_cast<std::size_t>(n);
    }
    unsent_.erase(0, sent);
    return unsent_.empty();
  }

  bool hung_up() {
    pollfd state{socket_.native_handle(), 0, 0};
    return ::poll(&state, 1, 0) > 0;
  }

  void say_end() noexcept {
    if (!open_ || broken_) return;
    try {
      tls_module().end(tls_.get());
      flush();
    } catch (const Error&) {  // it has gone
    }
  }

  // In one go, waiting for nothing.
  void answer_plainly() {
    const auto body = to_json(Error(Code::invalid, "this port speaks TLS", "use https:// with it"));
    const std::string text =
        "HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nContent-Length: " + std::to_string(body.size()) +
        "\r\nConnection: close\r\n\r\n" + body;
    ::send(socket_.native_handle(), text.data(), text.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  }

  [[noreturn]] void fail() {
    broken_ = true;
    throw Error(Code::io, std::string("the TLS connection with a client broke: ") + tls_module().failure(tls_.get()));
  }

  Socket socket_;
  RemotePeer peer_;
  Tls tls_;
  std::string unsent_;  // for the wire
  bool open_ = false;
  bool ended_ = false;  // nothing more comes from the wire
  bool broken_ = false;
};

BerthTlsClients asking(ClientCertificates clients) {
  switch (clients) {
    case ClientCertificates::optional:
      return berth_tls_clients_asked;
    case ClientCertificates::required:
      return berth_tls_clients_required;
    default:
      return berth_tls_clients_unasked;
  }
}

}  // namespace

TlsServer::TlsServer(TlsFiles files, ClientCertificates clients)
    : files_(std::move(files)), clients_(clients), context_(tls_server(files_, asking(clients_))) {}

void TlsServer::reload() { context_ = tls_server(files_, asking(clients_)); }

MakeConnection TlsServer::connections() {
  return [this](const async::Executor& executor, os::Fd accepted) -> std::unique_ptr<Connection> {
    return std::make_unique<TlsConnection>(executor, std::move(accepted), tls_from_client(context_.get()));
  };
}

}  // namespace berth::http
