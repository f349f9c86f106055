#include "runtime/http/connection.hpp"

#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cerrno>
#include <utility>

#include "runtime/base/error.hpp"

namespace berth::http {
namespace asio = boost::asio;
namespace {

constexpr auto kToken = asio::as_tuple(asio::use_awaitable);

}  // namespace

Connection::Connection(Socket socket) : socket_(std::move(socket)) {}

Peer Connection::peer() const {
  ucred credentials{};
  socklen_t size = sizeof credentials;
  const int fd = const_cast<Socket&>(socket_).native_handle();
  if (::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0) throw_errno("identify", "a client");
  return Peer{credentials.pid, credentials.uid, credentials.gid};
}

async::Task<std::size_t> Connection::read_some(std::span<char> buffer) {
  const auto into = asio::buffer(buffer.data(), buffer.size());
  const auto [failure, n] = co_await socket_.async_read_some(into, kToken);
  if (failure == asio::error::eof || failure == asio::error::connection_reset) co_return 0;
  async::check(failure, "read from", "a client");
  co_return n;
}

void Connection::send_some(std::span<std::string_view> pieces) {
  while (true) {
    std::array<iovec, 4> vectors;
    std::size_t count = 0;
    for (const auto& piece : pieces)
      if (!piece.empty() && count < vectors.size())
        vectors[count++] = iovec{const_cast<char*>(piece.data()), piece.size()};
    if (count == 0) return;
    msghdr message{};
    message.msg_iov = vectors.data();
    message.msg_iovlen = count;
    const auto n = ::sendmsg(socket_.native_handle(), &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0) {
      if (errno == EINTR) continue;
      if (errno == EAGAIN) return;
      broken_ = true;
      throw_errno("answer", "a client");
    }
    auto sent = static_cast<std::size_t>(n);
    for (auto& piece : pieces) {
      const auto part = std::min(sent, piece.size());
      piece.remove_prefix(part);
      sent -= part;
    }
  }
}

async::Task<> Connection::readable() {
  const auto [failure] = co_await socket_.async_wait(Socket::wait_read, kToken);
  async::check(failure, "read from", "a client");
}

async::Task<> Connection::writable() {
  const auto [failure] = co_await socket_.async_wait(Socket::wait_write, kToken);
  async::check(failure, "write to", "a client");
}

bool Connection::hung_up() {
  pollfd state{socket_.native_handle(), 0, 0};
  return ::poll(&state, 1, 0) > 0;  // only POLLHUP and POLLERR are reported
}

bool Connection::has_input() {
  char byte = 0;
  return ::recv(socket_.native_handle(), &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
}

async::Task<> Connection::gone() {
  // The end of input and a pipelined request both make the socket readable for good; from then on only a
  // hang-up is waited for.
  auto what = Socket::wait_read;
  while (!hung_up()) {
    const auto [failure] = co_await socket_.async_wait(what, kToken);
    async::check(failure, "watch", "a client");
    char byte = 0;
    if (::recv(socket_.native_handle(), &byte, 1, MSG_PEEK | MSG_DONTWAIT) >= 0) what = Socket::wait_error;
  }
  broken_ = true;
}

void Connection::cancel() {
  boost::system::error_code ignored;
  socket_.cancel(ignored);
}

void Connection::end_input() {
  boost::system::error_code ignored;
  socket_.shutdown(Socket::shutdown_receive, ignored);
}

void Connection::end_output() {
  boost::system::error_code ignored;
  socket_.shutdown(Socket::shutdown_send, ignored);
}

}  // namespace berth::http
