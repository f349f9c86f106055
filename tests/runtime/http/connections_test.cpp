#include <doctest/doctest.h>

#include <atomic>
#include <memory>
#include <vector>

#include "runtime/async/event.hpp"
#include "runtime/async/wait.hpp"
#include "runtime/base/error.hpp"
#include "tests/runtime/http/test_server.hpp"

namespace berth::http {
namespace {

using namespace std::chrono_literals;
using test::eventually;
using test::RawSocket;
using test::TestServer;

void ping(Router& router) {
  router.add("GET", "/ping", [](Request&) -> async::Task<Response> { co_return Response::json("{}"); });
}

}  // namespace

TEST_CASE("two hundred connections are served at the same time") {
  TestServer server(ping);
  std::vector<std::unique_ptr<RawSocket>> sockets;
  for (int i = 0; i < 200; ++i) sockets.push_back(std::make_unique<RawSocket>(server.path()));
  for (int round = 0; round < 3; ++round) {
    for (auto& socket : sockets) CHECK(socket->send("GET /ping HTTP/1.1\r\n\r\n"));
    for (auto& socket : sockets) CHECK(socket->read_until("{}").starts_with("HTTP/1.1 200 "));
  }
  auto client = server.client();
  client.request("GET", "/connections");
  CHECK(server.connections() == 201);
  sockets.clear();
  CHECK(eventually([&] {
    client.request("GET", "/connections");
    return server.connections() == 1;
  }));
}

TEST_CASE("connections above the most wait for their turn") {
  Limits limits;
  limits.connections = 2;
  TestServer server(ping, limits);
  auto first = std::make_unique<RawSocket>(server.path());
  RawSocket second(server.path());
  RawSocket third(server.path());
  for (auto* socket : {first.get(), &second, &third}) socket->send("GET /ping HTTP/1.1\r\n\r\n");
  first->read_until("{}");
  second.read_until("{}");
  first.reset();
  CHECK(third.read_until("{}").starts_with("HTTP/1.1 200 "));
}

TEST_CASE("an idle server with open connections has no wake-ups") {
  TestServer server(ping);
  RawSocket idle(server.path());
  auto client = server.client();
  client.request("GET", "/ping");
  std::this_thread::sleep_for(50ms);
  const auto before = server.voluntary_switches();
  std::this_thread::sleep_for(500ms);
  CHECK(server.voluntary_switches() == before);
}

TEST_CASE("stop closes idle connections and finishes the request under way") {
  std::atomic<bool> handling = false;
  TestServer server([&](Router& router) {
    router.add("GET", "/slow", [&](Request&) -> async::Task<Response> {
      handling = true;
      co_await async::sleep_for(50ms);
      co_return Response::json("{}");
    });
  });
  RawSocket idle(server.path());
  RawSocket busy(server.path());
  RawSocket half(server.path());
  half.send("GET /slo");
  busy.send("GET /slow HTTP/1.1\r\n\r\n");
  CHECK(eventually([&] { return handling.load(); }));
  server.begin_stop();
  CHECK(idle.ended());
  const auto answer = busy.read_to_end();
  CHECK(answer.ends_with("{}"));
  CHECK(answer.find("Connection: close\r\n") != std::string::npos);
  half.close();
  server.stop();
  CHECK_THROWS_AS(RawSocket{server.path()}, Error);
}

TEST_CASE("a handler that does not end is stopped when the drain time is over") {
  Limits limits;
  limits.drain_time = 20ms;
  std::atomic<bool> handling = false;
  std::atomic<bool> stopped = false;
  TestServer server(
      [&](Router& router) {
        router.add("GET", "/hang", [&](Request&) -> async::Task<Response> {
          handling = true;
          async::Event never;
          try {
            co_await never.wait();
          } catch (const Cancelled&) {
            stopped = true;
            throw;
          }
          co_return Response::empty();
        });
      },
      limits);
  RawSocket socket(server.path());
  socket.send("GET /hang HTTP/1.1\r\n\r\n");
  CHECK(eventually([&] { return handling.load(); }));
  server.stop();
  CHECK(stopped);
  CHECK(socket.ended());
  CHECK(server.failures() == 0);
}

}  // namespace berth::http
