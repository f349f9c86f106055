#pragma once

// One accepted connection, as the session uses it: over a unix socket (unix_connection.hpp) or over TLS
// (tls_connection.hpp).

#include <functional>
#include <memory>
#include <span>
#include <string_view>

#include "runtime/async/task.hpp"
#include "runtime/http/peer.hpp"
#include "runtime/os/fd.hpp"

namespace berth::http {

class Connection {
 public:
  virtual ~Connection() = default;

  // What it tells of a certificate is known once it is open.
  virtual Peer peer() const = 0;

  // Whether open() has work to do before anything can be read or sent.
  virtual bool must_open() const { return false; }
  // Agrees with the client on how to talk. Throws Error and is broken where there is no agreement; Cancelled after
  // cancel().
  virtual async::Task<> open() { co_return; }

  // 0 when the client sends nothing more. Throws Cancelled after cancel().
  virtual async::Task<std::size_t> read_some(std::span<char> buffer) = 0;
  // Sends what the kernel takes at once and removes from the pieces what needs no further call; true when all of it has
  // gone. Throws Error(Code::unavailable) when the client is gone.
  virtual bool send_some(std::span<std::string_view> pieces) = 0;
  // Until read_some() has something to give, or the end.
  virtual async::Task<> readable() = 0;
  virtual async::Task<> writable() = 0;
  // Until the client has closed the connection.
  virtual async::Task<> gone() = 0;
  virtual bool broken() const = 0;
  // Whether something has arrived that was not read yet.
  virtual bool has_input() = 0;

  virtual void cancel() = 0;  // what waits throws Cancelled
  virtual void end_input() = 0;  // a read returns what is there, then 0
  virtual void end_output() = 0;
};

// What an accepted socket, which does not block, becomes. Throws Error for a client that has gone already.
using MakeConnection = std::function<std::unique_ptr<Connection>(const async::Executor&, os::Fd accepted)>;
std::unique_ptr<Connection> make_unix_connection(const async::Executor& executor, os::Fd accepted);

}  // namespace berth::http
