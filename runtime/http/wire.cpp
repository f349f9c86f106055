#include "runtime/http/wire.hpp"

#include <fcntl.h>
#include <grp.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "runtime/base/error.hpp"
#include "runtime/base/text.hpp"
#include "runtime/os/identity.hpp"

namespace berth::http {
namespace {

constexpr std::chrono::milliseconds kConnectPatience{10'000};

// Of a socket that the caller may not use.
[[noreturn]] void explain_denial(const std::string& socket_path) {
  const auto what = "you may not use the socket " + printable(socket_path);
  struct stat found {};
  if (::stat(socket_path.c_str(), &found) != 0) throw Error(Code::denied, what);
  if ((found.st_mode & S_IWGRP) == 0)
    throw Error(Code::denied, what + ": it is for " + os::user_name(found.st_uid) + " alone");
  const group* entry = ::getgrgid(found.st_gid);
  const auto group = entry != nullptr ? entry->gr_name : std::to_string(found.st_gid);
  const auto open_to = what + ": it is open to group " + group;
  const auto member = os::membership(found.st_gid);
  if (member.in_session)
    throw Error(Code::denied, open_to + ", which you are in",
                "look at the directories above it: each must be open too");
  if (member.in_database)
    throw Error(Code::denied, open_to + ", and this session is from before you were in it",
                "log out and in again; or, for this shell alone: newgrp " + group);
  throw Error(
      Code::denied, open_to,
      "join the group: sudo usermod -aG " + group + " " + os::user_name(::geteuid()) + ", then log out and in again");
}

[[noreturn]] void explain_unix(int error_number, const std::string& socket_path, const std::string& server,
                               const std::string& absent_hint) {
  const auto path = printable(socket_path);
  if (error_number == ENOENT || error_number == ECONNREFUSED)
    throw Error(Code::unavailable, "no " + server + " listens on " + path, absent_hint);
  if (error_number == EACCES || error_number == EPERM) explain_denial(socket_path);
  throw errno_error(error_number, "connect to", path);
}

void limit_silence(const os::Fd& socket, const Patience& patience) {
  if (!patience) return;
  const auto micros = std::chrono::duration_cast<std::chrono::microseconds>(*patience).count();
  timeval limit{};
  limit.tv_sec = static_cast<time_t>(micros / 1'000'000);
  limit.tv_usec = static_cast<suseconds_t>(micros % 1'000'000);
  ::setsockopt(socket.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  ::setsockopt(socket.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
}

bool ready_within(const os::Fd& socket, short events, std::chrono::milliseconds time) {
  pollfd state{socket.get(), events, 0};
  int ready = -1;
  do {
    ready = ::poll(&state, 1, static_cast<int>(time.count()));
  } while (ready < 0 && errno == EINTR);
  return ready > 0;
}

struct Addresses {
  addrinfo* first = nullptr;
  ~Addresses() {
    if (first != nullptr) ::freeaddrinfo(first);
  }
};

// 0, or the errno of the failure.
int connect_within(const os::Fd& socket, const addrinfo& address, std::chrono::milliseconds time) {
  if (::connect(socket.get(), address.ai_addr, address.ai_addrlen) == 0) return 0;
  if (errno != EINPROGRESS) return errno;
  if (!ready_within(socket, POLLOUT, time)) return ETIMEDOUT;
  int failure = 0;
  socklen_t size = sizeof failure;
  ::getsockopt(socket.get(), SOL_SOCKET, SO_ERROR, &failure, &size);
  return failure;
}

}  // namespace

ssize_t SocketWire::send(std::string_view head, std::string_view body) {
  std::array<iovec, 2> vectors{iovec{const_cast<char*>(head.data()), head.size()},
                               iovec{const_cast<char*>(body.data()), body.size()}};
  msghdr message{};
  message.msg_iov = vectors.data();
  message.msg_iovlen = vectors.size();
  return ::sendmsg(socket_.get(), &message, MSG_NOSIGNAL);
}

ssize_t SocketWire::receive(std::span<char> buffer) { return ::recv(socket_.get(), buffer.data(), buffer.size(), 0); }

bool SocketWire::readable_within(std::chrono::milliseconds time) { return ready_within(socket_, POLLIN, time); }

bool SocketWire::writable_within(std::chrono::milliseconds time) { return ready_within(socket_, POLLOUT, time); }

std::unique_ptr<Wire> connect_unix(const std::string& path, const std::string& server, const std::string& absent_hint,
                                   const Patience& patience) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path)
    throw Error(Code::invalid, "the socket's path is longer than 107 bytes: " + printable(path));
  std::memcpy(address.sun_path, path.data(), path.size());
  os::Fd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket) throw_errno("make", "a socket");
  limit_silence(socket, patience);
  int connected = -1;
  do {
    connected = ::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
  } while (connected != 0 && errno == EINTR);
  if (connected != 0) explain_unix(errno, path, server, absent_hint);
  return std::make_unique<SocketWire>(std::move(socket));
}

os::Fd tcp_socket(const std::string& host, std::uint16_t port, const Patience& patience) {
  const auto name = printable(host) + ":" + std::to_string(port);
  addrinfo wanted{};
  wanted.ai_socktype = SOCK_STREAM;
  Addresses found;
  if (const int failure = ::getaddrinfo(host.c_str(), std::to_string(port).c_str(), &wanted, &found.first))
    throw Error(Code::unavailable, "cannot find the address of " + name + ": " + ::gai_strerror(failure),
                "check the name, and this machine's network and name server");
  int failure = 0;
  for (const auto* address = found.first; address != nullptr; address = address->ai_next) {
    os::Fd socket(::socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!socket) throw_errno("make", "a socket");
    failure = connect_within(socket, *address, patience.value_or(kConnectPatience));
    if (failure != 0) continue;
    const int on = 1;
    ::setsockopt(socket.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    ::fcntl(socket.get(), F_SETFL, ::fcntl(socket.get(), F_GETFL) & ~O_NONBLOCK);
    limit_silence(socket, patience);
    return socket;
  }
  throw Error(failure == ETIMEDOUT ? Code::timeout : Code::unavailable,
              "cannot connect to " + name + ": " + std::strerror(failure),
              "check that it runs and that this machine's network reaches it");
}

std::unique_ptr<Wire> connect_tcp(const std::string& host, std::uint16_t port, const Patience& patience) {
  return std::make_unique<SocketWire>(tcp_socket(host, port, patience));
}

}  // namespace berth::http
