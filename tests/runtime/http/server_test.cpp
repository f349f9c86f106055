#include "runtime/http/server.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <unistd.h>

#include <stdexcept>

#include "runtime/async/offload.hpp"
#include "runtime/async/wait.hpp"
#include "runtime/base/error.hpp"
#include "tests/runtime/http/test_server.hpp"

namespace berth::http {
namespace {

using namespace std::chrono_literals;
using test::RawSocket;
using test::TestServer;

void routes(Router& router) {
  router.add("GET", "/ping", [](Request&) -> async::Task<Response> { co_return Response::json("{}"); });
  router.add("POST", "/echo", [](Request& request) -> async::Task<Response> {
    auto body = co_await request.read_body(64_KiB);
    co_return Response::text(std::move(body), 201);
  });
  router.add("POST", "/ignore", [](Request&) -> async::Task<Response> { co_return Response::empty(); });
  router.add("GET", "/jobs/{id}", [](Request& request) -> async::Task<Response> {
    std::string text = request.parameter("id");
    if (const auto follow = request.query_value("follow")) text += " " + std::string(*follow);
    co_return Response::text(text);
  });
  router.add("GET", "/peer", [](Request& request) -> async::Task<Response> {
    const auto& peer = std::get<LocalPeer>(request.peer);
    co_return Response::text(std::to_string(peer.pid) + " " + std::to_string(peer.uid) + " " +
                             std::to_string(peer.gid));
  });
  router.add("GET", "/conflict", [](Request&) -> async::Task<Response> {
    Error error(Code::conflict, "the job has ended", "look at it with berth show");
    error.add_context("while cancelling job 7");
    throw error;
    co_return Response::empty();
  });
  router.add("GET", "/unknown", [](Request&) -> async::Task<Response> {
    throw std::runtime_error("a defect");
    co_return Response::empty();
  });
  router.add("GET", "/stopped", [](Request&) -> async::Task<Response> {
    throw Cancelled();
    co_return Response::empty();
  });
}

Code code_of(Client& client, std::string_view target) {
  try {
    client.request("GET", target);
  } catch (const Error& error) {
    return error.code();
  }
  FAIL("must throw");
  return Code::internal;
}

}  // namespace

TEST_CASE("a handler gets method, parameters, query and body, and its answer arrives") {
  TestServer server(routes);
  auto client = server.client();
  CHECK(client.request("GET", "/ping").body == "{}");
  const auto echo = client.request("POST", "/echo", "some body", "text/plain");
  CHECK(echo.status == 201);
  CHECK(echo.body == "some body");
  CHECK(echo.headers.find("content-type") == "text/plain; charset=utf-8");
  CHECK(client.request("GET", "/jobs/a%20b?follow=1%2B1").body == "a b 1+1");
  const auto head = client.request("HEAD", "/ping");
  CHECK(head.status == 200);
  CHECK(head.body.empty());
  CHECK(head.headers.find("content-length") == "2");
}

TEST_CASE("the peer is who the kernel says") {
  TestServer server(routes);
  auto client = server.client();
  CHECK(client.request("GET", "/peer").body ==
        std::to_string(::getpid()) + " " + std::to_string(::geteuid()) + " " + std::to_string(::getegid()));
}

TEST_CASE("failures of a handler become statuses and JSON") {
  TestServer server(routes);
  auto client = server.client();
  try {
    client.request("GET", "/conflict");
    FAIL("must throw");
  } catch (const Error& error) {
    CHECK(error.code() == Code::conflict);
    CHECK(error.message() == "the job has ended");
    CHECK(error.hint() == "look at it with berth show");
    CHECK(error.context() == std::vector<std::string>{"while cancelling job 7"});
  }
  CHECK(code_of(client, "/stopped") == Code::unavailable);
  CHECK(server.failures() == 0);
  CHECK(code_of(client, "/unknown") == Code::internal);
  CHECK(server.failures() == 1);
  CHECK(code_of(client, "/nothing") == Code::not_found);
  CHECK(client.request("GET", "/ping").status == 200);
}

TEST_CASE("unknown paths get 404, unknown methods 405 with what is allowed") {
  TestServer server(routes);
  RawSocket socket(server.path());
  socket.send("GET /nothing HTTP/1.1\r\n\r\n");
  CHECK(socket.read_until("}}").starts_with("HTTP/1.1 404 Not Found\r\nContent-Type: application/json\r\n"));
  socket.send("DELETE /ping HTTP/1.1\r\n\r\n");
  const auto refusal = socket.read_until("}}");
  CHECK(refusal.starts_with("HTTP/1.1 405 Method Not Allowed\r\n"));
  CHECK(refusal.find("\r\nAllow: GET\r\n") != std::string::npos);
  CHECK(refusal.find(R"("message":"/ping does not allow DELETE")") != std::string::npos);
}

TEST_CASE("one connection serves many requests, also sent ahead") {
  TestServer server(routes);
  RawSocket socket(server.path());
  std::string ahead;
  for (int i = 0; i < 50; ++i) {
    ahead += "POST /echo HTTP/1.1\r\nContent-Length: 3\r\n\r\na" + std::to_string(10 + i);
    ahead += "\r\nGET /jobs/" + std::to_string(i) + " HTTP/1.1\r\n\r\n";  // with a stray empty line before
  }
  socket.send(ahead);
  for (int i = 0; i < 50; ++i) {
    CHECK(socket.read_until("\r\n\r\na" + std::to_string(10 + i)).starts_with("HTTP/1.1 201 Created"));
    CHECK(socket.read_until("\r\n\r\n" + std::to_string(i)).starts_with("HTTP/1.1 200 OK"));
  }
}

TEST_CASE("bodies go in by length or in chunks, in whatever pieces they come") {
  TestServer server(routes);
  RawSocket socket(server.path());
  // The pauses are so that the pieces arrive apart, mostly; the answer is the same if they do not.
  socket.send("POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel");
  std::this_thread::sleep_for(5ms);
  socket.send("lo\r\n6\r\n world\r");
  std::this_thread::sleep_for(5ms);
  socket.send("\n0\r\n\r\n");
  CHECK(socket.read_until("hello world").find("Content-Length: 11") != std::string::npos);
  socket.send("POST /echo HTTP/1.1\r\nContent-Length: 11\r\n\r\nhello");
  std::this_thread::sleep_for(5ms);
  socket.send(" again");
  CHECK(socket.read_until("hello again").starts_with("HTTP/1.1 201"));
  socket.send("POST /ignore HTTP/1.1\r\nContent-Length: 4\r\n\r\nrest");
  CHECK(socket.read_until("\r\n\r\n") == "HTTP/1.1 204 No Content\r\n\r\n");
  socket.send("GET /ping HTTP/1.1\r\n\r\n");
  CHECK(socket.read_until("{}").starts_with("HTTP/1.1 200"));
}

TEST_CASE("connection: close, HTTP/1.0 and a client that has finished sending are answered, then closed") {
  TestServer server(routes);
  for (const auto* request : {"GET /ping HTTP/1.1\r\nConnection: close\r\n\r\n", "GET /ping HTTP/1.0\r\n\r\n"}) {
    RawSocket socket(server.path());
    socket.send(request);
    const auto answer = socket.read_to_end();
    CHECK(answer.ends_with("{}"));
    CHECK(answer.find("Connection: close\r\n") != std::string::npos);
  }
  RawSocket half(server.path());
  half.send("GET /ping HTTP/1.1\r\n\r\n");
  half.finish_sending();
  CHECK(half.read_to_end().ends_with("{}"));
}

TEST_CASE("malformed requests are answered with 400 and closed, and hurt nobody else") {
  TestServer server(routes);
  auto other = server.client();
  other.request("GET", "/ping");
  for (const auto* request :
       {"\x16\x03\x01\x02\x00\x01 hello\r\n\r\n", "GET / HTTP/9.9\r\n\r\n", "GET /\r\n\r\n", "\r\n\r\nnonsense\r\n\r\n",
        "POST /echo HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST /echo HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello"}) {
    CAPTURE(request);
    RawSocket socket(server.path());
    socket.send(request);
    socket.finish_sending();
    CHECK(socket.read_to_end().starts_with("HTTP/1.1 400 Bad Request\r\n"));
  }
  RawSocket chunks(server.path());
  chunks.send("POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n");
  CHECK(chunks.read_until("}}").starts_with("HTTP/1.1 400"));
  RawSocket target(server.path());
  target.send("GET /a/../../etc HTTP/1.1\r\n\r\n");
  CHECK(target.read_until("}}").starts_with("HTTP/1.1 400"));
  RawSocket(server.path()).send("GET / HT");  // and gone
  RawSocket(server.path()).send("POST /echo HTTP/1.1\r\nContent-Length: 100\r\n\r\nabc");
  CHECK(other.request("GET", "/ping").status == 200);
  CHECK(server.failures() == 0);
}

TEST_CASE("an upload is spooled to a file") {
  const os::TempDir directory;
  async::Pool pool;
  const auto file = os::open(directory / "spool", O_RDWR | O_CREAT, 0600);
  std::string content;
  for (int i = 0; content.size() < 3'000'000; ++i) content += std::to_string(i) + ",";
  TestServer server([&](Router& router) {
    router.add("PUT", "/spool", [&](Request& request) -> async::Task<Response> {
      const auto size = co_await request.spool(pool, file, 4_MiB);
      co_return Response::text(std::to_string(size));
    });
  });
  auto client = server.client();
  for (const bool told : {true, false}) {
    REQUIRE(::ftruncate(file.get(), 0) == 0);
    REQUIRE(::lseek(file.get(), 0, SEEK_SET) == 0);
    std::size_t at = 0;
    auto produce = [&](std::span<char> buffer) {
      const auto n = content.copy(buffer.data(), std::min<std::size_t>(buffer.size(), 100'000), at);
      at += n;
      return n;
    };
    std::optional<std::uint64_t> length;
    if (told) length = content.size();
    CHECK(client.upload("PUT", "/spool", length, produce).body == std::to_string(content.size()));
    CHECK(os::read_file(directory / "spool") == content);
  }
}

}  // namespace berth::http
