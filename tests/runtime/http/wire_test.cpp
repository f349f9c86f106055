#include "runtime/http/wire.hpp"

#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <atomic>
#include <thread>

#include "runtime/base/error.hpp"
#include "runtime/http/client.hpp"
#include "tests/runtime/http/test_server.hpp"

namespace berth::http {
namespace {

using namespace std::chrono_literals;

// Listens on a port of the loopback; answers one connection with a text, or with nothing at all.
class Listener {
 public:
  Listener() : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    REQUIRE(::bind(socket_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
    REQUIRE(::listen(socket_.get(), 4) == 0);
    socklen_t size = sizeof address;
    ::getsockname(socket_.get(), reinterpret_cast<sockaddr*>(&address), &size);
    port = ntohs(address.sin_port);
  }
  // The request, as far as it came with the first bytes.
  std::string serve(const std::string& answer) {
    const os::Fd connection(::accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    std::array<char, 4096> request{};
    const auto n = ::recv(connection.get(), request.data(), request.size(), 0);
    os::write_all(connection, answer);
    return std::string(request.data(), static_cast<std::size_t>(std::max<ssize_t>(n, 0)));
  }

  // A connection whose first request has come.
  os::Fd take_request() {
    os::Fd connection(::accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    std::array<char, 4096> request{};
    static_cast<void>(::recv(connection.get(), request.data(), request.size(), 0));
    return connection;
  }

  std::uint16_t port = 0;

 private:
  os::Fd socket_;
};

Client client_of(const Listener& listener, Client::Options options) {
  auto connect = [port = listener.port, patience = options.patience] {
    return connect_tcp("127.0.0.1", port, patience);
  };
  return Client(std::move(connect), std::move(options));
}

}  // namespace

TEST_CASE("over TCP the caller's fields are sent, and a failure is an answer") {
  Listener listener;
  std::string request;
  std::thread server(
      [&] { request = listener.serve("HTTP/1.1 401 No\r\nX-Why: because\r\nContent-Length: 4\r\n\r\nwhat"); });
  Client::Options options;
  options.host = "a.io:5000";
  Client::Request question;
  question.method = "GET";
  question.target = "/v2/";
  question.headers.add("Accept", "x/y");
  auto client = client_of(listener, options);
  const auto answer = client.ask(question);
  server.join();
  CHECK(answer.status == 401);
  CHECK(answer.body == "what");
  CHECK(answer.headers.find("x-why") == "because");
  CHECK(request == "GET /v2/ HTTP/1.1\r\nHost: a.io:5000\r\nAccept: x/y\r\n\r\n");
}

TEST_CASE("a line end in a field is never sent") {
  Client client([]() -> std::unique_ptr<Wire> { throw Error(Code::internal, "connected"); }, {});
  Client::Request question;
  question.method = "GET";
  question.target = "/";
  question.headers.add("Authorization", "Bearer x\r\nX-Evil: y");
  try {
    client.ask(question);
    FAIL("must throw");
  } catch (const Error& error) {
    CHECK(error.code() == Code::invalid);
  }
}

TEST_CASE("nobody there, and a name that is none, are told with the address") {
  std::uint16_t port = 0;
  {
    Listener gone;
    port = gone.port;
  }
  const auto failure = [](const std::string& host, std::uint16_t at) {
    try {
      connect_tcp(host, at, 2s);
    } catch (const Error& error) {
      return error;
    }
    return Error(Code::internal, "no failure");
  };
  const auto refused = failure("127.0.0.1", port);
  CHECK(refused.code() == Code::unavailable);
  CHECK(refused.message() == "cannot connect to 127.0.0.1:" + std::to_string(port) + ": Connection refused");
  CHECK(failure("no-such-host.invalid", 80).code() == Code::unavailable);
}

TEST_CASE("a silent server is left after its patience, and at once when we are told to stop") {
  Listener silent;  // the kernel takes the connection, nobody answers
  Client::Request question;
  question.method = "GET";
  question.target = "/";
  Client::Options patient;
  patient.patience = 100ms;
  auto impatient = client_of(silent, patient);
  try {
    impatient.ask(question);
    FAIL("must throw");
  } catch (const Error& error) {
    CHECK(error.code() == Code::timeout);
  }

  std::stop_source stop;
  std::atomic<bool> stopped = false;
  Client::Options stoppable;
  stoppable.stop = stop.get_token();
  auto waiting = client_of(silent, stoppable);
  std::thread stopper([&] {
    const auto given_up = silent.take_request();
    const auto kept = silent.take_request();
    const auto began = std::chrono::steady_clock::now();
    stop.request_stop();
    CHECK(test::eventually([&] { return stopped.load(); }));
    CHECK(std::chrono::steady_clock::now() - began < 1s);
  });
  CHECK_THROWS_AS(waiting.ask(question), Cancelled);
  stopped = true;
  stopper.join();
}

}  // namespace berth::http
