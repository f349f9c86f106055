#include <doctest/doctest.h>

#include <atomic>

#include "runtime/async/cleanup.hpp"
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

// What the streams of these tests leave behind.
struct Followers {
  std::atomic<int> open = 0;
  std::atomic<int> ended = 0;

  async::Task<> leave() {
    --open;
    ++ended;
    co_return;
  }

  void routes(Router& router) {
    router.add("GET", "/count/{n}", [](Request& request) -> async::Task<Response> {
      const int n = std::stoi(request.parameter("n"));
      co_return Response::stream("text/plain", [n](Stream& stream) -> async::Task<> {
        for (int i = 0; i < n; ++i) {
          const auto line = std::to_string(i) + "\n";
          co_await stream.write(line);
        }
      });
    });
    // Writes one line, then waits for ever without writing.
    router.add("GET", "/follow", [this](Request&) -> async::Task<Response> {
      co_return Response::stream("text/plain", [this](Stream& stream) -> async::Task<> {
        ++open;
        auto follow = [](Stream& out) -> async::Task<> {
          async::Event never;
          co_await out.write("first\n");
          while (true) co_await never.wait();
        };
        co_await async::with_cleanup(follow(stream), leave());
      });
    });
    router.add("GET", "/flood", [this](Request&) -> async::Task<Response> {
      co_return Response::stream("text/plain", [this](Stream& stream) -> async::Task<> {
        ++open;
        auto flood = [](Stream& out) -> async::Task<> {
          const std::string block(100'000, 'x');
          while (true) co_await out.write(block);
        };
        co_await async::with_cleanup(flood(stream), leave());
      });
    });
    router.add("GET", "/costly", [this](Request&) -> async::Task<Response> {
      auto response = Response::stream("text/plain", [this](Stream& stream) -> async::Task<> {
        ++open;
        auto flood = [](Stream& out) -> async::Task<> {
          const std::string block(50'000, 'x');
          for (int i = 0; i < 200; ++i) co_await out.write(block);
        };
        co_await async::with_cleanup(flood(stream), leave());
      });
      response.leave_slow_readers();
      co_return response;
    });
    router.add("GET", "/early", [](Request&) -> async::Task<Response> {
      co_return Response::stream("text/plain", [](Stream&) -> async::Task<> {
        throw Error(Code::not_found, "no such log");
        co_return;
      });
    });
    router.add("GET", "/late", [](Request&) -> async::Task<Response> {
      co_return Response::stream("text/plain", [](Stream& stream) -> async::Task<> {
        co_await stream.write("part");
        throw Error(Code::io, "disk gone");
      });
    });
    router.add("GET", "/silent", [](Request&) -> async::Task<Response> {
      co_return Response::stream("text/plain", [](Stream& stream) -> async::Task<> {
        co_await stream.write("");
        async::Event never;
        co_await never.wait();
      });
    });
  }
};

struct Fixture {
  Followers followers;
  TestServer server;
  explicit Fixture(Limits limits = {}) : server([this](Router& router) { followers.routes(router); }, limits) {}
};

}  // namespace

TEST_CASE("a stream goes out in chunks and the connection stays") {
  Fixture fixture;
  RawSocket socket(fixture.server.path());
  for (int i = 0; i < 3; ++i) {
    socket.send("GET /count/2 HTTP/1.1\r\n\r\n");
    CHECK(socket.read_until("0\r\n\r\n") ==
          "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: "
          "chunked\r\n\r\n2\r\n0\n\r\n2\r\n1\n\r\n0\r\n\r\n");
  }
  socket.send("HEAD /count/2 HTTP/1.1\r\n\r\nGET /count/0 HTTP/1.1\r\n\r\n");
  CHECK(socket.read_until("\r\n\r\n").find("chunked") != std::string::npos);
  CHECK(socket.read_until("\r\n\r\n0\r\n\r\n").starts_with("HTTP/1.1 200"));
}

TEST_CASE("a client of HTTP/1.0 gets the stream without chunks") {
  Fixture fixture;
  RawSocket socket(fixture.server.path());
  socket.send("GET /count/3 HTTP/1.0\r\n\r\n");
  CHECK(socket.read_to_end().ends_with("Connection: close\r\n\r\n0\n1\n2\n"));
}

TEST_CASE("a follower that writes nothing ends when its client goes away") {
  Fixture fixture;
  {
    RawSocket socket(fixture.server.path());
    socket.send("GET /follow HTTP/1.1\r\n\r\n");
    socket.read_until("first\n");
    CHECK(fixture.followers.open == 1);
  }
  CHECK(eventually([&] { return fixture.followers.ended == 1; }));
  CHECK(fixture.server.failures() == 0);
}

TEST_CASE("a follower ends with its client also after a pipelined request or the end of the client's sending") {
  Fixture fixture;
  for (const bool pipelined : {true, false}) {
    RawSocket socket(fixture.server.path());
    socket.send("GET /follow HTTP/1.1\r\n\r\n");
    socket.read_until("first\n");
    if (pipelined)
      socket.send("GET /count/1 HTTP/1.1\r\n\r\n");
    else
      socket.finish_sending();
    std::this_thread::sleep_for(10ms);  // in which it might end, of which there is no other sign
    CHECK(fixture.followers.open == 1);
    socket.close();
    CHECK(eventually([&] { return fixture.followers.open == 0; }));
  }
}

TEST_CASE("a stream that its client does not read waits, and ends with the client") {
  Limits limits;
  limits.body_time = 20ms;  // which is not meant for streams
  Fixture fixture(limits);
  {
    RawSocket socket(fixture.server.path());
    socket.send("GET /flood HTTP/1.1\r\n\r\n");
    socket.read_until("xxx");
    std::this_thread::sleep_for(60ms);  // longer than the limit: that it does not end has no other sign
    CHECK(fixture.followers.open == 1);
  }
  CHECK(eventually([&] { return fixture.followers.ended == 1; }));
  CHECK(fixture.server.failures() == 0);
}

TEST_CASE("who does not read a stream that costs room is left") {
  Limits limits;
  limits.body_time = 50ms;
  Fixture fixture(limits);
  RawSocket still(fixture.server.path());
  still.send("GET /costly HTTP/1.1\r\n\r\n");
  CHECK(eventually([&] { return fixture.followers.ended == 1; }));
  CHECK(fixture.server.failures() == 0);
  // Who reads gets all of it.
  RawSocket reader(fixture.server.path());
  reader.send("GET /costly HTTP/1.0\r\n\r\n");
  CHECK(reader.read_to_end().size() > 10'000'000);
}

TEST_CASE("a stream that fails before its first byte is answered like any failure") {
  Fixture fixture;
  auto client = fixture.server.client();
  for (int i = 0; i < 2; ++i) {
    try {
      client.stream("GET", "/early", [](std::string_view) { return true; });
      FAIL("must throw");
    } catch (const Error& error) {
      CHECK(error.code() == Code::not_found);
      CHECK(error.message() == "no such log");
    }
  }
}

TEST_CASE("a stream that fails later is cut, so that the client knows") {
  Fixture fixture;
  auto client = fixture.server.client();
  std::string seen;
  try {
    client.stream("GET", "/late", [&](std::string_view chunk) {
      seen += chunk;
      return true;
    });
    FAIL("must throw");
  } catch (const Error& error) {
    CHECK(error.code() == Code::unavailable);
  }
  CHECK(seen == "part");
  CHECK(fixture.server.failures() == 1);
}

TEST_CASE("an empty write sends the header alone") {
  Fixture fixture;
  RawSocket socket(fixture.server.path());
  socket.send("GET /silent HTTP/1.1\r\n\r\n");
  CHECK(socket.read_until("\r\n\r\n").starts_with("HTTP/1.1 200 OK"));
}

TEST_CASE("the client stops a stream when it has seen enough") {
  Fixture fixture;
  auto client = fixture.server.client();
  std::string seen;
  client.stream("GET", "/follow", [&](std::string_view chunk) {
    seen += chunk;
    return false;
  });
  CHECK(seen == "first\n");
  CHECK(eventually([&] { return fixture.followers.ended == 1; }));
  std::string counted;
  client.stream("GET", "/count/1000", [&](std::string_view chunk) {
    counted += chunk;
    return true;
  });
  CHECK(counted.ends_with("998\n999\n"));
}

TEST_CASE("stop ends open streams at once") {
  Fixture fixture;
  RawSocket follower(fixture.server.path());
  follower.send("GET /follow HTTP/1.1\r\n\r\n");
  follower.read_until("first\n");
  RawSocket flooded(fixture.server.path());
  flooded.send("GET /flood HTTP/1.1\r\n\r\n");
  flooded.read_until("xxx");
  const auto begin = std::chrono::steady_clock::now();
  fixture.server.stop();
  CHECK(std::chrono::steady_clock::now() - begin < 2s);
  CHECK(fixture.followers.ended == 2);
  CHECK(!follower.read_to_end().ends_with("0\r\n\r\n"));  // the client sees that it is not complete
}

}  // namespace berth::http
