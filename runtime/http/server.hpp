#pragma once

// Serves HTTP/1.1 on a listening socket, of whatever transport. Each connection is one coroutine; a failing one never
// hurts the others. An idle server, connections included, has no wake-ups: time limits are watched by one timer that is
// armed only while a client owes something.

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>

#include "runtime/async/task.hpp"
#include "runtime/base/units.hpp"
#include "runtime/http/connection.hpp"
#include "runtime/http/router.hpp"
#include "runtime/os/fd.hpp"

namespace berth::http {

bool is_root(const Peer& peer);  // of this machine

struct Limits {
  ByteSize header{16 << 10};  // request line and fields together
  std::size_t fields = 100;  // header fields
  std::chrono::milliseconds handshake_time{10'000};  // of a connection that is not open at once (TLS)
  std::chrono::milliseconds header_time{30'000};  // from the first byte of a request to the end of its header
  std::chrono::milliseconds body_time{30'000};  // without progress of a body, or of a response that is not a stream
  std::chrono::milliseconds drain_time{10'000};  // how long stop() waits for handlers before they are stopped
  std::chrono::milliseconds idle_time{600'000};  // of a connection without a request
  // Connections in all, and of one source (peer.hpp): a user of this machine, or an address. Where they are used up, an
  // idle one is closed for a new one: the source's own, or of the source that has the most; where there is none, the
  // new one is refused with 429 or 503, or, where that cannot be told before a handshake, closed.
  std::size_t connections = 1024;
  std::size_t connections_per_source = 256;
  std::size_t reserved_connections = 64;  // of those in all, for who is trusted
  std::size_t requests_per_source = 32;  // being answered; further ones wait for their turn. Streams do not count
  // What bodies and answers under way may take of memory.
  ByteSize memory_per_source = 48_MiB;
  ByteSize memory = 128_MiB;
  // Who runs the machine always gets in, and has no limits of its own.
  std::function<bool(const Peer&)> trusted = is_root;
};

class Server {
 public:
  // Failures that are nobody's request's business (a defect in a handler, a stream that broke off).
  using OnFailure = std::function<void(std::exception_ptr)>;

  // The router outlives the server; several servers may share it, each with its own transport.
  Server(async::Executor executor, os::Fd listener, const Router& router, Limits limits, OnFailure on_failure,
         MakeConnection make_connection = make_unix_connection);
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;
  ~Server();

  // Serves until stop(), or until the caller is stopped, which is the same; returns when every connection has
  // ended.
  async::Task<> run();
  // Accepts nothing more, closes idle connections, stops streams, lets other handlers finish.
  void stop();

  std::size_t connections() const;

 private:
  class State;
  std::unique_ptr<State> state_;
};

}  // namespace berth::http
