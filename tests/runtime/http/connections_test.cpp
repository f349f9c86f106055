#include <doctest/doctest.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "runtime/async/event.hpp"
#include "runtime/async/wait.hpp"
#include "runtime/base/error.hpp"
#include "runtime/http/arrivals.hpp"
#include "tests/runtime/http/test_server.hpp"
#include "tests/support/skip.hpp"

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

namespace {

Limits few(std::size_t connections, std::size_t per_user) {
  Limits limits;
  limits.connections = connections;
  limits.connections_per_source = per_user;
  limits.reserved_connections = 1;
  limits.trusted = [](const Peer&) { return false; };
  return limits;
}

// Keeps its requests unanswered.
void hang(Router& router) {
  ping(router);
  router.add("GET", "/hang", [](Request&) -> async::Task<Response> {
    co_return Response::stream("text/plain", [](Stream& out) -> async::Task<> {
      constexpr std::string_view kBegun = "begun";
      co_await out.write(kBegun);
      async::Event never;
      co_await never.wait();
    });
  });
}

std::unique_ptr<RawSocket> asking(const TestServer& server, const std::string& path) {
  auto socket = std::make_unique<RawSocket>(server.path());
  socket->send("GET " + path + " HTTP/1.1\r\n\r\n");
  return socket;
}

}  // namespace

TEST_CASE("a user's connections above the most end his oldest idle one, or are refused when none is idle") {
  TestServer server(hang, few(100, 3));
  auto first = asking(server, "/ping");
  first->read_until("{}");
  auto second = asking(server, "/hang");
  auto third = asking(server, "/hang");
  second->read_until("begun");
  third->read_until("begun");
  auto fourth = asking(server, "/hang");
  CHECK(fourth->read_until("begun").starts_with("HTTP/1.1 200 "));
  CHECK(first->ended());
  auto fifth = asking(server, "/ping");
  const auto refusal = fifth->read_to_end();
  CHECK(refusal.starts_with("HTTP/1.1 429 Too Many Requests\r\n"));
  CHECK(refusal.find("you have 3 connections to the agent already") != std::string::npos);
  CHECK(refusal.find("\"hint\":\"close some") != std::string::npos);
  second->close();
  CHECK(eventually([&] { return asking(server, "/ping")->read_until("\r\n").starts_with("HTTP/1.1 200 "); }));
}

TEST_CASE("when all places are taken an idle connection makes room, else who comes is refused") {
  TestServer server(hang, few(4, 100));
  auto idle = asking(server, "/ping");
  idle->read_until("{}");
  std::vector<std::unique_ptr<RawSocket>> busy;
  for (int i = 0; i < 3; ++i) {
    busy.push_back(asking(server, "/hang"));
    CHECK(busy.back()->read_until("begun").starts_with("HTTP/1.1 200 "));
  }
  CHECK(idle->ended());
  const auto refusal = asking(server, "/ping")->read_to_end();
  CHECK(refusal.starts_with("HTTP/1.1 503 "));
  CHECK(refusal.find("as many connections as it may have") != std::string::npos);
}

TEST_CASE("who is trusted has places of his own") {
  auto limits = few(4, 2);
  auto trusted = std::make_shared<std::atomic<bool>>(false);
  limits.trusted = [trusted](const Peer&) { return trusted->load(); };
  limits.reserved_connections = 2;
  TestServer server(hang, limits);
  std::vector<std::unique_ptr<RawSocket>> busy;
  for (int i = 0; i < 2; ++i) {
    busy.push_back(asking(server, "/hang"));
    busy.back()->read_until("begun");
  }
  CHECK(asking(server, "/ping")->read_to_end().starts_with("HTTP/1.1 429 "));
  *trusted = true;
  CHECK(asking(server, "/ping")->read_until("{}").starts_with("HTTP/1.1 200 "));
}

TEST_CASE("a connection that is idle for too long is closed without a word") {
  Limits limits;
  limits.idle_time = 30ms;
  TestServer server(ping, limits);
  RawSocket silent(server.path());
  CHECK(silent.read_to_end().empty());
  auto used = asking(server, "/ping");
  const auto all = used->read_to_end();
  CHECK(all.starts_with("HTTP/1.1 200 "));
  CHECK(all.ends_with("{}"));
}

TEST_CASE("what one user's requests keep in memory is bounded, and given back") {
  auto limits = few(100, 100);
  limits.memory_per_source = ByteSize(1 << 20);
  TestServer server(
      [](Router& router) {
        ping(router);
        router.add("POST", "/take", [](Request& request) -> async::Task<Response> {
          const auto body = co_await request.read_body(ByteSize(8 << 20));
          co_return Response::text(std::to_string(body.size()));
        });
      },
      limits);
  auto client = server.client();
  for (int i = 0; i < 5; ++i) CHECK(client.request("POST", "/take", std::string(900 << 10, 'x')).body == "921600");
  RawSocket half(server.path());
  half.send("POST /take HTTP/1.1\r\nContent-Length: 900000\r\n\r\n" + std::string(800'000, 'x'));
  auto refused = [&] {
    try {
      server.client().request("POST", "/take", std::string(900 << 10, 'x'));
    } catch (const Error& error) {
      CHECK(error.code() == Code::unavailable);
      CHECK(error.message().find("of memory") != std::string::npos);
      return true;
    }
    return false;
  };
  CHECK(eventually(refused));
  CHECK(client.request("GET", "/ping").body == "{}");
  half.close();
  CHECK(eventually([&] { return !refused(); }));
}

TEST_CASE("requests in heaps on one connection let others in between") {
  std::atomic<int> answered = 0;
  TestServer server([&](Router& router) {
    ping(router);
    router.add("GET", "/slow", [&](Request&) -> async::Task<Response> {
      ++answered;
      std::this_thread::sleep_for(1ms);
      co_return Response::json("{}");
    });
  });
  RawSocket heap(server.path());
  std::string requests;
  for (int i = 0; i < 500; ++i) requests += "GET /slow HTTP/1.1\r\n\r\n";
  heap.send(requests);
  CHECK(eventually([&] { return answered > 0; }));
  auto client = server.client();
  client.request("GET", "/ping");
  CHECK(answered < 400);
}

namespace {

// Makes connections as another user: a thread has credentials of its own. For root.
void as_user(uid_t user, const std::function<void()>& act) {
  std::thread thread([&] {
    const bool other = ::syscall(SYS_setresuid, -1, user, -1) == 0;
    ::syscall(SYS_setfsuid, 0);  // the socket's directory stays open to it
    if (other) act();
  });
  thread.join();
}

}  // namespace

TEST_CASE("who comes behind hundreds of another user's connections is served next") {
  SKIP_UNLESS(::geteuid() == 0, "root");
  constexpr int kCrowd = 200;
  std::atomic<bool> blocked = false;
  std::atomic<bool> go = false;
  std::atomic<int> answered = 0;
  TestServer server(
      [&](Router& router) {
        ping(router);
        router.add("GET", "/block", [&](Request&) -> async::Task<Response> {
          blocked = true;
          while (!go) std::this_thread::sleep_for(1ms);
          co_return Response::json("{}");
        });
        router.add("GET", "/crowd", [&](Request&) -> async::Task<Response> {
          ++answered;
          std::this_thread::sleep_for(1ms);
          co_return Response::json("{}");
        });
      },
      few(1000, 500));
  const auto block = asking(server, "/block");
  REQUIRE(eventually([&] { return blocked.load(); }));
  std::vector<std::unique_ptr<RawSocket>> crowd;
  as_user(65534, [&] {
    for (int i = 0; i < kCrowd; ++i) crowd.push_back(asking(server, "/crowd"));
  });
  REQUIRE(crowd.size() == kCrowd);
  const auto last = asking(server, "/ping");
  go = true;
  CHECK(last->read_until("{}").starts_with("HTTP/1.1 200 "));
  CHECK(answered < kCrowd / 2);
  for (auto& one : crowd) CHECK(one->read_until("{}").starts_with("HTTP/1.1 200 "));
}

TEST_CASE("users who arrive take turns, each in the order of arrival") {
  Arrivals<int> arrivals;
  CHECK(arrivals.empty());
  CHECK(!arrivals.next());
  for (const int guest : {1, 2, 3}) arrivals.add(Source{1000}, guest);
  arrivals.add(Source{1002}, 4);
  arrivals.add(Source{1001}, 5);
  CHECK(arrivals.size() == 5);
  CHECK(arrivals.of(Source{1000}) == 3);
  std::vector<int> order{arrivals.next()->second};
  arrivals.add(Source{1002}, 6);
  while (const auto next = arrivals.next()) order.push_back(next->second);
  CHECK(order == std::vector{1, 5, 4, 2, 6, 3});
  CHECK(arrivals.empty());
  CHECK(arrivals.of(Source{1000}) == 0);
}

TEST_CASE("an idle server with open connections has no wake-ups") {
  TestServer server(ping);
  RawSocket idle(server.path());
  auto client = server.client();
  client.request("GET", "/ping");
  long before = 0;
  CHECK(eventually([&] {  // what the request brought about is over
    before = server.voluntary_switches();
    std::this_thread::sleep_for(50ms);
    return server.voluntary_switches() == before;
  }));
  std::this_thread::sleep_for(500ms);  // what is measured
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
