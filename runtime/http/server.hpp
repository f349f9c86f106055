#pragma once

// Serves HTTP/1.1 on a listening socket. Each connection is one coroutine; a failing one never hurts the
// others. An idle server, connections included, has no wake-ups: time limits are watched by one timer that is
// armed only while a client owes something.

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>

#include "runtime/async/task.hpp"
#include "runtime/base/units.hpp"
#include "runtime/http/router.hpp"
#include "runtime/os/fd.hpp"

namespace berth::http {

struct Limits {
  ByteSize header{16 << 10};                      // request line and fields together
  std::size_t fields = 100;                       // header fields
  std::chrono::milliseconds header_time{30'000};  // from the first byte of a request to the end of its header
  std::chrono::milliseconds body_time{
      30'000};  // without progress of a body, or of a response that is not a stream
  std::chrono::milliseconds drain_time{10'000};  // how long stop() waits for handlers before they are stopped
  std::size_t connections = 1024;                // further ones wait in the kernel's queue
};

class Server {
 public:
  // Failures that are nobody's request's business (a defect in a handler, a stream that broke off).
  using OnFailure = std::function<void(std::exception_ptr)>;

  // The router outlives the server.
  Server(async::Executor executor, os::Fd listener, const Router& router, Limits limits,
         OnFailure on_failure);
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
