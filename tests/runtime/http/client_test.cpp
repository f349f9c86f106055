#include "runtime/http/client.hpp"

#include <doctest/doctest.h>
#include <grp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>

#include "runtime/async/event.hpp"
#include "runtime/base/error.hpp"
#include "runtime/http/listen.hpp"
#include "runtime/os/fd.hpp"
#include "tests/runtime/http/test_server.hpp"
#include "tests/support/skip.hpp"

namespace berth::http {
namespace {

using namespace std::chrono_literals;
using test::TestServer;

Error failure_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    return error;
  }
  FAIL("must throw");
  return Error(Code::internal, "");
}

// A scripted server: gives each connection in turn one answer to the first bytes it sends, then closes it.
class Script {
 public:
  explicit Script(std::vector<std::string> answers)
      : listener_(listen_unix(path(), 0600)), thread_([this, answers = std::move(answers)] {
          for (const auto& answer : answers) {
            test::eventually([&] {
              return (socket_ = os::Fd(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC))).get() >= 0;
            });
            std::array<char, 4096> request;
            std::string_view rest = answer;
            while (::recv(socket_.get(), request.data(), request.size(), 0) > 0) {
              ++requests_;
              const auto bar = rest.find('|');  // in a script: then wait for the next request
              const auto part = rest.substr(0, bar);
              static_cast<void>(::send(socket_.get(), part.data(), part.size(), MSG_NOSIGNAL));
              if (bar == std::string_view::npos) break;
              rest.remove_prefix(bar + 1);
            }
            socket_.reset();
            ++closed_;
          }
        }) {}
  ~Script() { thread_.join(); }
  std::string path() const { return directory_ / "a.sock"; }
  int requests() const { return requests_; }
  int closed() const { return closed_; }  // connections

 private:
  os::TempDir directory_;
  os::Fd listener_;
  os::Fd socket_;
  std::atomic<int> requests_ = 0;
  std::atomic<int> closed_ = 0;
  std::thread thread_;
};

const std::string kOk = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

}  // namespace

TEST_CASE("an agent that is not there is told with what to do") {
  const os::TempDir directory;
  Client absent(directory / "a.sock");
  const auto error = failure_of([&] { absent.request("GET", "/"); });
  CHECK(error.code() == Code::unavailable);
  CHECK(error.message() == "no agent listens on " + (directory / "a.sock"));
  CHECK(error.hint().find("is berthd running?") != std::string::npos);

  listen_unix(directory / "b.sock", 0600).reset();
  Client refused(directory / "b.sock");
  CHECK(failure_of([&] { refused.request("GET", "/"); }).code() == Code::unavailable);
  Client endless("/tmp/" + std::string(200, 'x'));
  CHECK(failure_of([&] { endless.request("GET", "/"); }).code() == Code::invalid);
}

// What somebody else is told who asks there: the message and the hint.
std::string refusal_for(const std::string& socket, uid_t uid, gid_t gid) {
  const auto told = os::make_pipe();
  const pid_t child = ::fork();
  if (child == 0) {
    bool changed = ::setgroups(0, nullptr) == 0 && ::setgid(gid) == 0 && ::setuid(uid) == 0;
    std::string words = "not refused";
    try {
      Client(socket).request("GET", "/");
    } catch (const Error& error) {
      words = error.code() == Code::denied ? error.message() + "; " + error.hint() : "another failure";
    }
    changed = changed && ::write(told.write.get(), words.data(), words.size()) > 0;
    ::_exit(changed ? 0 : 1);
  }
  std::array<char, 1024> words{};
  const auto size = ::read(told.read.get(), words.data(), words.size());
  ::waitpid(child, nullptr, 0);
  return {words.data(), static_cast<std::size_t>(std::max<ssize_t>(size, 0))};
}

TEST_CASE("who may not use a socket learns what would help him") {
  SKIP_UNLESS(::geteuid() == 0, "root");
  constexpr uid_t kDaemon = 1;  // on every Debian, with the group of that number
  constexpr uid_t kNobody = 65534;
  const os::TempDir directory;
  ::chmod(directory.path().c_str(), 0755);
  const auto listener = listen_unix(directory / "a.sock", 0660, kDaemon);
  const auto stranger = refusal_for(directory / "a.sock", kNobody, kNobody);
  CHECK(stranger.find("it is open to group daemon; join the group: sudo usermod -aG daemon nobody") !=
        std::string::npos);
  const auto joined = refusal_for(directory / "a.sock", kDaemon, kNobody);  // but has not logged in since
  CHECK(joined.find("usermod") == std::string::npos);
  CHECK(joined.find("log out and in again; or, for this shell alone: newgrp daemon") != std::string::npos);
  ::chmod((directory / "a.sock").c_str(), 0600);
  CHECK(refusal_for(directory / "a.sock", kNobody, kNobody).find("it is for root alone") != std::string::npos);
  ::chmod((directory / "a.sock").c_str(), 0660);
  ::chmod(directory.path().c_str(), 0700);
  const auto below = refusal_for(directory / "a.sock", kNobody, kNobody);
  CHECK(below.find("you may not use the socket") != std::string::npos);
  CHECK(below.find("usermod") == std::string::npos);
}

TEST_CASE("a kept connection that was closed while idle is made anew") {
  Script script({kOk, kOk});
  Client client(script.path());
  CHECK(client.request("GET", "/").body == "ok");
  CHECK(test::eventually([&] { return script.closed() == 1; }));
  CHECK(client.request("POST", "/").body == "ok");  // nothing was sent on the old one, so any method will do
  CHECK(script.requests() == 2);
}

TEST_CASE("a request that was taken without an answer is repeated only where that is harmless") {
  Script script({kOk + "|", kOk + "|", kOk});  // after "|" a request is read and the connection closed
  Client client(script.path());
  CHECK(client.request("GET", "/").body == "ok");
  CHECK(client.request("GET", "/again").body == "ok");
  const auto error = failure_of([&] { client.request("POST", "/"); });
  CHECK(error.code() == Code::unavailable);
  CHECK(client.request("POST", "/", "{}", "application/json", Repeatable::yes).body == "ok");
}

TEST_CASE("an answer that breaks off is an error, not a short answer") {
  Script script({"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab", "HTTP/1.1 200 OK\r\nTransfer-Enc", "nonsense\r\n"});
  Client client(script.path());
  CHECK(failure_of([&] { client.request("GET", "/"); }).code() == Code::unavailable);
  CHECK(failure_of([&] { client.request("GET", "/"); }).code() == Code::unavailable);
  CHECK(failure_of([&] { client.request("GET", "/"); }).code() == Code::invalid);
}

TEST_CASE("the client waits no longer than it is told to") {
  TestServer server(
      [](Router& router) {
        router.add("GET", "/never", [](Request&) -> async::Task<Response> {
          async::Event never;
          co_await never.wait();
          co_return Response::empty();
        });
      },
      [] {
        Limits limits;
        limits.drain_time = 1ms;
        return limits;
      }());
  Client::Options options;
  options.patience = 30ms;
  Client client(server.path(), options);
  CHECK(failure_of([&] { client.request("GET", "/never"); }).code() == Code::timeout);
}

TEST_CASE("answers are bounded, and targets cannot smuggle a header") {
  TestServer server([](Router& router) {
    router.add("GET", "/large",
               [](Request&) -> async::Task<Response> { co_return Response::text(std::string(100'000, 'x')); });
  });
  Client::Options options;
  options.largest_answer = 1000;
  Client client(server.path(), options);
  CHECK(failure_of([&] { client.request("GET", "/large"); }).code() == Code::too_large);
  CHECK(failure_of([&] { client.request("GET", "/a b"); }).code() == Code::internal);
  CHECK(failure_of([&] { client.request("GET", "/a\r\nX: y"); }).code() == Code::internal);
  std::size_t seen = 0;
  client.stream("GET", "/large", [&](std::string_view chunk) {
    seen += chunk.size();
    return true;
  });
  CHECK(seen == 100'000);
}

TEST_CASE("the header of an answer that is handed on is told before its body, once; a failure's is not") {
  TestServer server([](Router& router) {
    router.add("GET", "/named", [](Request& request) -> async::Task<Response> {
      if (!request.accepts("x/y")) throw Error(Code::not_found, "it is not wanted");
      co_return Response::text(std::string(200'000, 'x')).set("Its-Name", "large");
    });
  });
  auto client = server.client();
  std::vector<std::string> told;
  std::size_t seen = 0;
  const Client::OnHead on_head = [&](const Headers& headers) {
    CHECK(seen == 0);
    told.emplace_back(headers.find("Its-Name").value_or("none"));
  };
  const Client::OnChunk on_chunk = [&](std::string_view chunk) {
    seen += chunk.size();
    return true;
  };
  Client::Request request;
  request.method = "GET";
  request.target = "/named";
  request.on_head = &on_head;
  request.on_chunk = &on_chunk;
  CHECK(failure_of([&] { client.stream(request); }).code() == Code::not_found);
  CHECK(told.empty());
  request.headers.add("Accept", "x/y");
  client.stream(request);
  CHECK(told == std::vector<std::string>{"large"});
  CHECK(seen == 200'000);
}

TEST_CASE("a producer that breaks its promise fails the upload, and the client goes on") {
  TestServer server([](Router& router) {
    router.add("PUT", "/upload", [](Request& request) -> async::Task<Response> {
      const auto body = co_await request.read_body(1_MiB);
      co_return Response::text(std::to_string(body.size()));
    });
  });
  auto client = server.client();
  CHECK(failure_of([&] {
          client.upload("PUT", "/upload", 10, [](std::span<char>) { return std::size_t{0}; });
        }).code() == Code::invalid);
  CHECK_THROWS_AS(client.upload("PUT", "/upload", 10,
                                [](std::span<char>) -> std::size_t { throw std::runtime_error("reading failed"); }),
                  std::runtime_error);
  CHECK(client.upload("PUT", "/upload", 0, [](std::span<char>) { return std::size_t{0}; }).body == "0");
  CHECK(client.upload("PUT", "/upload", std::nullopt, [](std::span<char>) { return std::size_t{0}; }).body == "0");
}

}  // namespace berth::http
