#include "tests/runtime/http/test_server.hpp"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <fstream>
#include <optional>

#include "runtime/async/nursery.hpp"
#include "runtime/async/run.hpp"
#include "runtime/async/wait.hpp"
#include "runtime/base/error.hpp"
#include "runtime/http/listen.hpp"

namespace berth::http::test {

using namespace std::chrono_literals;

TestServer::TestServer(const Routes& routes, Limits limits, TlsServer* tls)
    : limits_(std::move(limits)), tls_(tls), stop_(os::make_pipe()) {
  routes(router_);
  std::atomic<bool> ready = false;
  thread_ = std::thread([this, &ready] {
    thread_id_ = ::gettid();
    async::run_to_end([](TestServer& self, std::atomic<bool>& listening) -> async::Task<> {
      const auto executor = co_await async::this_coro::executor;
      const auto fail = [&self](std::exception_ptr) { ++self.failures_; };
      Server server(executor, listen_unix(self.path(), 0600), self.router_, self.limits_, fail);
      std::optional<Server> remote;
      if (self.tls_ != nullptr) {
        auto listener = listen_tcp("127.0.0.1", 0);
        self.tls_port_ = port_of(listener);
        remote.emplace(executor, std::move(listener), self.router_, self.limits_, fail, self.tls_->connections());
      }
      listening = true;
      self.router_.add("GET", "/connections", [&](Request&) -> async::Task<Response> {
        self.connections_ = server.connections() + (remote ? remote->connections() : 0);
        co_return Response::empty();
      });
      async::Nursery nursery(co_await async::this_coro::executor,
                             [](std::exception_ptr failure) { std::rethrow_exception(failure); });
      nursery.spawn(server.run());
      if (remote) nursery.spawn(remote->run());
      co_await async::readable(self.stop_.read.get());
      server.stop();
      if (remote) remote->stop();
      co_await nursery.join();
    }(*this, ready));
  });
  eventually([&] { return ready.load(); });
}

void TestServer::begin_stop() { stop_.write.reset(); }

void TestServer::stop() {
  begin_stop();
  if (thread_.joinable()) thread_.join();
}

long TestServer::voluntary_switches() const {
  std::ifstream status("/proc/self/task/" + std::to_string(thread_id_) + "/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with("voluntary_ctxt_switches:")) return std::stol(line.substr(line.find(':') + 1));
  return -1;
}

RawSocket::RawSocket(const std::string& path) : socket_(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.data(), path.size());
  if (::connect(socket_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    throw_errno("connect to", path);
}

bool RawSocket::send(std::string_view bytes) {
  while (!bytes.empty()) {
    const auto n = ::send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (n <= 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(n));
  }
  return true;
}

std::string RawSocket::read_until(std::string_view text) {
  while (unread_.find(text) == std::string::npos) {
    pollfd state{socket_.get(), POLLIN, 0};
    std::array<char, 65536> buffer;
    if (::poll(&state, 1, 5000) <= 0) throw Error(Code::timeout, "the server sent only: " + unread_);
    const auto n = ::recv(socket_.get(), buffer.data(), buffer.size(), 0);
    if (n <= 0) return std::exchange(unread_, {});
    unread_.append(buffer.data(), static_cast<std::size_t>(n));
  }
  const auto end = unread_.find(text) + text.size();
  auto result = unread_.substr(0, end);
  unread_.erase(0, end);
  return result;
}

std::string RawSocket::read_to_end() {
  std::string all;
  while (true) {
    auto piece = read_until(std::string_view("\0never\0", 7));
    if (piece.empty()) return all;
    all += piece;
  }
}

bool RawSocket::ended() {
  try {
    read_to_end();
    return true;
  } catch (const Error&) {
    return false;
  }
}

void RawSocket::finish_sending() { ::shutdown(socket_.get(), SHUT_WR); }

bool eventually(const std::function<bool()>& condition) {
  const auto end = std::chrono::steady_clock::now() + 5s;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(1ms);
  }
  return true;
}

}  // namespace berth::http::test
