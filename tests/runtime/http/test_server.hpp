#pragma once

// A server on a thread of its own, for tests that talk to it through a real socket (and, where one is wanted, a second
// one that serves the same routes over TLS); and a socket that sends raw bytes.

#include <sys/types.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <string>
#include <string_view>
#include <thread>

#include "runtime/http/client.hpp"
#include "runtime/http/server.hpp"
#include "runtime/http/tls_connection.hpp"
#include "runtime/os/file.hpp"

namespace berth::http::test {

class TestServer {
 public:
  using Routes = std::function<void(Router&)>;
  explicit TestServer(const Routes& routes, Limits limits = {}, TlsServer* tls = nullptr);
  ~TestServer() { stop(); }

  std::string path() const { return directory_ / "berth.sock"; }
  std::uint16_t tls_port() const { return tls_port_; }  // of 127.0.0.1
  Client client() const { return Client(path()); }
  void begin_stop();  // asks only
  void stop();        // and waits
  int failures() const { return failures_; }
  std::size_t connections() const { return connections_; }  // as of the last request to /connections
  long voluntary_switches() const;                          // of the server's thread so far

 private:
  os::TempDir directory_;
  Router router_;
  Limits limits_;
  TlsServer* tls_;
  std::atomic<std::uint16_t> tls_port_ = 0;
  os::Pipe stop_;
  std::atomic<int> failures_ = 0;
  std::atomic<std::size_t> connections_ = 0;
  std::atomic<pid_t> thread_id_ = 0;
  std::thread thread_;
};

// A connected socket; every read gives up after five seconds.
class RawSocket {
 public:
  explicit RawSocket(const std::string& path);
  explicit RawSocket(os::Fd connected) : socket_(std::move(connected)) {}
  bool send(std::string_view bytes);  // false when the server has hung up
  // Until `text` has appeared, or the connection ended.
  std::string read_until(std::string_view text);
  std::string read_to_end();
  bool ended();  // the server has closed, within five seconds
  void finish_sending();
  void close() { socket_.reset(); }

 private:
  os::Fd socket_;
  std::string unread_;
};

// Waits, with a bound, for something that another thread does.
bool eventually(const std::function<bool()>& condition);

}  // namespace berth::http::test
