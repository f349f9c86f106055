#include <doctest/doctest.h>

#include <atomic>

#include "runtime/async/event.hpp"
#include "runtime/base/error.hpp"
#include "tests/runtime/http/test_server.hpp"

namespace berth::http {
namespace {

using namespace std::chrono_literals;
using test::RawSocket;
using test::TestServer;

void routes(Router& router) {
  router.add("GET", "/ping", [](Request&) -> async::Task<Response> { co_return Response::json("{}"); });
  router.add("POST", "/json", [](Request& request) -> async::Task<Response> {
    auto body = co_await request.read_body(1_KiB);
    co_return Response::text(std::move(body));
  });
  router.add("GET", "/large",
             [](Request&) -> async::Task<Response> { co_return Response::text(std::string(50'000'000, 'x')); });
}

Limits impatient() {
  Limits limits;
  limits.header_time = 30ms;
  limits.body_time = 30ms;
  return limits;
}

}  // namespace

TEST_CASE("a huge body is refused before it is read") {
  TestServer server(routes);
  RawSocket socket(server.path());
  socket.send("POST /json HTTP/1.1\r\nContent-Length: 1073741824\r\n\r\n");
  const auto refusal = socket.read_until("}}");
  CHECK(refusal.starts_with("HTTP/1.1 413 Content Too Large\r\n"));
  CHECK(refusal.find("Connection: close\r\n") != std::string::npos);
  CHECK(refusal.find("larger than the 1.0 KiB allowed") != std::string::npos);
  std::size_t sent = 0;
  const std::string block(1 << 20, 'x');
  while (sent < (1U << 30U) && socket.send(block)) sent += block.size();
  CHECK(sent < 8U << 20U);
}

TEST_CASE("a chunked body is refused when it passes the limit") {
  TestServer server(routes);
  RawSocket socket(server.path());
  socket.send("POST /json HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n800\r\n" + std::string(0x800, 'x') + "\r\n");
  CHECK(socket.read_until("}}").starts_with("HTTP/1.1 413"));
}

TEST_CASE("the client hears a refusal while it still uploads") {
  TestServer server(routes);
  auto client = server.client();
  std::size_t produced = 0;
  auto endless = [&](std::span<char> buffer) {
    produced += buffer.size();
    return buffer.size();
  };
  for (const auto& length : {std::optional<std::uint64_t>(1U << 30U), std::optional<std::uint64_t>()}) {
    try {
      client.upload("POST", "/json", length, endless);
      FAIL("must throw");
    } catch (const Error& error) {
      CHECK(error.code() == Code::too_large);
    }
  }
  CHECK(produced < 16U << 20U);
  CHECK(client.request("GET", "/ping").status == 200);
}

TEST_CASE("a header that is too large or has too many fields is refused") {
  TestServer server(routes);
  RawSocket large(server.path());
  large.send("GET /ping HTTP/1.1\r\nX: " + std::string(20'000, 'x'));
  CHECK(large.read_until("}}").starts_with("HTTP/1.1 431 "));
  RawSocket target(server.path());
  target.send("GET /" + std::string(20'000, 'x') + " HTTP/1.1\r\n\r\n");
  CHECK(target.read_until("}}").starts_with("HTTP/1.1 431 "));
  RawSocket many(server.path());
  many.send("GET /ping HTTP/1.1\r\n");
  for (int i = 0; i < 100'000; ++i)
    if (!many.send("X: y\r\n")) break;
  CHECK(many.read_until("}}").starts_with("HTTP/1.1 431 "));
  RawSocket fits(server.path());
  fits.send("GET /ping HTTP/1.1\r\nX: " + std::string(15'000, 'x') + "\r\n\r\n");
  CHECK(fits.read_until("{}").starts_with("HTTP/1.1 200 "));
}

TEST_CASE("a header that dribbles in is cut off after its time, whatever arrives meanwhile") {
  TestServer server(routes, impatient());
  RawSocket socket(server.path());
  const auto begin = std::chrono::steady_clock::now();
  socket.send("GET /ping HTTP/1.1\r\n");
  while (socket.send("X: y\r\n") && std::chrono::steady_clock::now() - begin < 3s) std::this_thread::sleep_for(2ms);
  CHECK(std::chrono::steady_clock::now() - begin < 2s);
  RawSocket silent(server.path());
  silent.send("GET /ping");
  CHECK(silent.read_until("}}").starts_with("HTTP/1.1 408 Request Timeout\r\n"));
  CHECK(server.failures() == 0);
}

TEST_CASE("a body that stops arriving is cut off") {
  TestServer server(routes, impatient());
  RawSocket socket(server.path());
  socket.send("POST /json HTTP/1.1\r\nContent-Length: 100\r\n\r\nabc");
  CHECK(socket.read_until("}}").starts_with("HTTP/1.1 408 "));
  RawSocket chunked(server.path());
  chunked.send("POST /json HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab");
  CHECK(chunked.read_until("}}").starts_with("HTTP/1.1 408 "));
}

TEST_CASE("a body that dribbles in is cut off, however often a byte of it arrives") {
  TestServer server(routes, impatient());
  for (const std::string head : {"Content-Length: 1000", "Transfer-Encoding: chunked"}) {
    RawSocket socket(server.path());
    socket.send("POST /json HTTP/1.1\r\n" + head + "\r\n\r\n");
    const auto begin = std::chrono::steady_clock::now();
    while (socket.send(head.starts_with("C") ? "x" : "1\r\nx\r\n") && std::chrono::steady_clock::now() - begin < 3s)
      std::this_thread::sleep_for(2ms);
    CHECK(std::chrono::steady_clock::now() - begin < 2s);
  }
  CHECK(server.failures() == 0);
}

TEST_CASE("a client that does not read its answer is cut off") {
  TestServer server(routes, impatient());
  RawSocket socket(server.path());
  socket.send("GET /large HTTP/1.1\r\n\r\n");
  auto watcher = server.client();
  CHECK(test::eventually([&] {
    watcher.request("GET", "/connections");
    return server.connections() == 1;  // the watcher's own
  }));
  CHECK(socket.read_to_end().size() < 50'000'000);
  CHECK(server.failures() == 0);
}

TEST_CASE("an idle connection has no time limit") {
  TestServer server(routes, impatient());
  RawSocket socket(server.path());
  for (int i = 0; i < 2; ++i) {
    std::this_thread::sleep_for(100ms);  // longer than the limits; that nothing happens meanwhile has no other sign
    socket.send("GET /ping HTTP/1.1\r\n\r\n");
    CHECK(socket.read_until("{}").starts_with("HTTP/1.1 200 "));
  }
}

}  // namespace berth::http
