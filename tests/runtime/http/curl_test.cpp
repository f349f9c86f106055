#include <doctest/doctest.h>

#include <cstdio>
#include <cstdlib>

#include "runtime/base/error.hpp"
#include "tests/runtime/http/test_server.hpp"
#include "tests/support/skip.hpp"

namespace berth::http {
namespace {

std::string output_of(const std::string& command) {
  FILE* pipe = ::popen((command + " 2>&1").c_str(), "r");
  REQUIRE(pipe != nullptr);
  std::string output;
  for (int c = std::fgetc(pipe); c != EOF; c = std::fgetc(pipe)) output += static_cast<char>(c);
  ::pclose(pipe);
  return output;
}

}  // namespace

TEST_CASE("curl works over the socket") {
  const auto features = output_of("curl --version");
  SKIP_UNLESS(features.find("unix-sockets") != std::string::npos || features.find("UnixSockets") != std::string::npos,
              "curl with unix sockets");
  test::TestServer server([](Router& router) {
    router.add("GET", "/ping", [](Request&) -> async::Task<Response> { co_return Response::json("{}"); });
    router.add("POST", "/size", [](Request& request) -> async::Task<Response> {
      const bool asked = request.headers.find("Expect").has_value();
      const auto body = co_await request.read_body(4_MiB);
      std::string text = std::to_string(body.size());
      if (asked) text += " after asking";
      co_return Response::text(text);
    });
    router.add("GET", "/lines", [](Request&) -> async::Task<Response> {
      co_return Response::stream("text/plain", [](Stream& stream) -> async::Task<> {
        for (int i = 0; i < 3; ++i) co_await stream.write("line\n");
      });
    });
  });
  const os::TempDir directory;
  os::write_file(directory / "two", std::string(2'000'000, 'x'), 0600, os::Durable::no);
  os::write_file(directory / "eight", std::string(8'000'000, 'x'), 0600, os::Durable::no);
  const auto curl = "curl -sS --max-time 10 --unix-socket " + server.path() + " ";
  const std::string host = "http://berth";
  CHECK(output_of(curl + host + "/ping " + host + "/lines " + host + "/ping") == "{}line\nline\nline\n{}");
  CHECK(output_of(curl + "--data-binary @" + (directory / "two") + " " + host + "/size") == "2000000 after asking");
  CHECK(output_of(curl + "-H Expect: -H 'Transfer-Encoding: chunked' --data-binary @" + (directory / "two") + " " +
                  host + "/size") == "2000000");
  const auto refusal = output_of(curl + "-w '%{http_code} sent %{size_upload}' --data-binary @" +
                                 (directory / "eight") + " " + host + "/size");
  CHECK(refusal.find("larger than the 4.0 MiB allowed") != std::string::npos);
  CHECK(refusal.ends_with("413 sent 0"));
  CHECK(output_of(curl + "-I " + host + "/ping").starts_with("HTTP/1.1 200 OK\r\n"));
}

}  // namespace berth::http
