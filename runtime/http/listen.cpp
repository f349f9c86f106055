#include "runtime/http/listen.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "runtime/base/error.hpp"
#include "runtime/base/text.hpp"

namespace berth::http {
namespace {

sockaddr_un address_of(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path)
    throw Error(
        Code::invalid,
        "the socket's path is too long (" + std::to_string(path.size()) + " of at most 107 bytes): " + printable(path),
        "choose a shorter directory for it");
  std::memcpy(address.sun_path, path.data(), path.size());
  return address;
}

os::Fd make_socket() {
  os::Fd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket) throw_errno("make", "a socket");
  return socket;
}

const sockaddr* generic(const sockaddr_un& address) { return reinterpret_cast<const sockaddr*>(&address); }

// A server that is merely busy answers EAGAIN: it listens.
bool somebody_listens(const sockaddr_un& address) {
  const auto probe = make_socket();
  return ::connect(probe.get(), generic(address), sizeof address) == 0 || errno == EAGAIN;
}

void remove_stale(const std::string& path, const sockaddr_un& address) {
  struct stat found {};
  if (::lstat(path.c_str(), &found) != 0) {
    if (errno == ENOENT) return;
    throw_errno("look at", printable(path));
  }
  if (!S_ISSOCK(found.st_mode))
    throw Error(Code::conflict, printable(path) + " exists and is not a socket", "remove it, or choose another path");
  if (somebody_listens(address))
    throw Error(Code::conflict, "another program listens on " + printable(path),
                "stop it first, or choose another socket path");
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) throw_errno("remove the stale socket", printable(path));
}

}  // namespace

os::Fd listen_unix(const std::string& path, unsigned mode, std::optional<gid_t> group) {
  const auto address = address_of(path);
  remove_stale(path, address);
  auto socket = make_socket();
  if (::bind(socket.get(), generic(address), sizeof address) != 0) throw_errno("listen on", printable(path));
  // Until listen() every connect is refused, so nobody gets in before these are set.
  if (group && ::chown(path.c_str(), static_cast<uid_t>(-1), *group) != 0)
    throw_errno("change the group of", printable(path));
  if (::chmod(path.c_str(), mode) != 0) throw_errno("change the mode of", printable(path));
  if (::listen(socket.get(), SOMAXCONN) != 0) throw_errno("listen on", printable(path));
  return socket;
}

os::Fd listen_tcp(const std::string& address, std::uint16_t port) {
  sockaddr_in6 version6{};
  version6.sin6_family = AF_INET6;
  version6.sin6_port = htons(port);
  sockaddr_in version4{};
  version4.sin_family = AF_INET;
  version4.sin_port = htons(port);
  const bool is_6 = ::inet_pton(AF_INET6, address.c_str(), &version6.sin6_addr) == 1;
  if (!is_6 && ::inet_pton(AF_INET, address.c_str(), &version4.sin_addr) != 1)
    throw Error(Code::invalid, "'" + printable(address) + "' is not a numeric address", "such as 192.0.2.7, or ::");
  os::Fd socket(::socket(is_6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket) throw_errno("make", "a socket");
  const int on = 1;
  ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);  // what a server before it left in TIME_WAIT
  const auto* where =
      is_6 ? reinterpret_cast<const sockaddr*>(&version6) : reinterpret_cast<const sockaddr*>(&version4);
  const auto name = printable(address) + " port " + std::to_string(port);
  if (::bind(socket.get(), where, is_6 ? sizeof version6 : sizeof version4) != 0 ||
      ::listen(socket.get(), SOMAXCONN) != 0) {
    if (errno == EADDRINUSE)
      throw Error(Code::conflict, "another program listens on " + name, "stop it first, or choose another port");
    throw_errno("listen on", name);
  }
  return socket;
}

std::uint16_t port_of(const os::Fd& listener) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  if (::getsockname(listener.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0)
    throw_errno("look at", "a listening socket");
  // Both versions have it in the same place.
  return ntohs(reinterpret_cast<const sockaddr_in&>(address).sin_port);
}

}  // namespace berth::http
