#include "runtime/http/unix_connection.hpp"

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

LocalPeer credentials_of(const os::Fd& socket) {
  ucred credentials{};
  socklen_t size = sizeof credentials;
  if (::getsockopt(socket.get(), SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0)
    throw_errno("identify", "a client");
  return {credentials.pid, credentials.uid, credentials.gid};
}

}  // namespace

UnixConnection::UnixConnection(const async::Executor& executor, os::Fd accepted)
    : socket_(executor), peer_(credentials_of(accepted)) {
  boost::system::error_code failure;
  socket_.assign(asio::local::stream_protocol(), accepted.get(), failure);
  async::check(failure, "accept", "a connection");
  accepted.release();
}

async::Task<std::size_t> UnixConnection::read_some(std::span<char> buffer) {
  const auto into = asio::buffer(buffer.data(), buffer.size());
  const auto [failure, n] = co_await socket_.async_read_some(into, kToken);
  if (failure == asio::error::eof || failure == asio::error::connection_reset) co_return 0;
  async::check(failure, "read from", "a client");
  co_return n;
}

bool UnixConnection::send_some(std::span<std::string_view> pieces) {
  while (true) {
    std::array<iovec, 4> vectors;
    std::size_t count = 0;
    for (const auto& piece : pieces)
      if (!piece.empty() && count < vectors.size())
        vectors[count++] = iovec{const_cast<char*>(piece.data()), piece.size()};
    if (count == 0) return true;
    msghdr message{};
    message.msg_iov = vectors.data();
    message.msg_iovlen = count;
    const auto n = ::sendmsg(socket_.native_handle(), &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0) {
      if (errno == EINTR) continue;
      if (errno == EAGAIN) return false;
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

async::Task<> UnixConnection::readable() {
  const auto [failure] = co_await socket_.async_wait(Socket::wait_read, kToken);
  async::check(failure, "read from", "a client");
}

async::Task<> UnixConnection::writable() {
  const auto [failure] = co_await socket_.async_wait(Socket::wait_write, kToken);
  async::check(failure, "write to", "a client");
}

bool UnixConnection::hung_up() {
  pollfd state{socket_.native_handle(), 0, 0};
  return ::poll(&state, 1, 0) > 0;  // only POLLHUP and POLLERR are reported
}

bool UnixConnection::has_input() {
  char byte = 0;
  return ::recv(socket_.native_handle(), &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
}

async::Task<> UnixConnection::gone() {
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

void UnixConnection::cancel() {
  boost::system::error_code ignored;
  socket_.cancel(ignored);
}

void UnixConnection::end_input() {
  boost::system::error_code ignored;
  socket_.shutdown(Socket::shutdown_receive, ignored);
}

void UnixConnection::end_output() {
  boost::system::error_code ignored;
  socket_.shutdown(Socket::shutdown_send, ignored);
}

std::unique_ptr<Connection> make_unix_connection(const async::Executor& executor, os::Fd accepted) {
  return std::make_unique<UnixConnection>(executor, std::move(accepted));
}

}  // namespace berth::http
