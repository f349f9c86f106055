#pragma once

// The bytes of one connection as the client needs them: over a unix socket, over TCP, or over TLS (tls.hpp).

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "runtime/os/fd.hpp"

namespace berth::http {

// The longest silence of the other side; nothing: for ever.
using Patience = std::optional<std::chrono::milliseconds>;

class Wire {
 public:
  virtual ~Wire() = default;
  // As sendmsg(2) and recv(2): how many bytes, or -1 and errno, where EAGAIN says that patience is at its
  // end. `head` goes first; what did not go is offered again.
  virtual ssize_t send(std::string_view head, std::string_view body) = 0;
  virtual ssize_t receive(std::span<char> buffer) = 0;
  // Whether receive() would not wait (or the connection has ended).
  virtual bool readable_within(std::chrono::milliseconds time) = 0;
  virtual bool writable_within(std::chrono::milliseconds time) = 0;
};
// Makes a connection or throws an Error that names the other side.
using Connect = std::function<std::unique_ptr<Wire>()>;

// A connected socket.
class SocketWire : public Wire {
 public:
  explicit SocketWire(os::Fd socket) : socket_(std::move(socket)) {}
  ssize_t send(std::string_view head, std::string_view body) override;
  ssize_t receive(std::span<char> buffer) override;
  bool readable_within(std::chrono::milliseconds time) override;
  bool writable_within(std::chrono::milliseconds time) override;

 private:
  os::Fd socket_;
};

// `server` and `absent_hint` are for messages: what should be listening, and what to do when it is not.
std::unique_ptr<Wire> connect_unix(const std::string& path, const std::string& server, const std::string& absent_hint,
                                   const Patience& patience);
// Tries every address of the name for at most `patience` each (10 seconds without one).
os::Fd tcp_socket(const std::string& host, std::uint16_t port, const Patience& patience);
std::unique_ptr<Wire> connect_tcp(const std::string& host, std::uint16_t port, const Patience& patience);

}  // namespace berth::http
