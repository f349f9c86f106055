#include "agent/cli/upload.hpp"

#include <doctest/doctest.h>

#include "runtime/base/error.hpp"
#include "tests/agent/cli/scripted_agent.hpp"

using namespace berth;
using namespace berth::cli;

namespace {

using Script = ScriptedAgent;

std::string pattern(std::size_t size) {
  std::string bytes(size, '\0');
  for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<char>(i * 7 + i / 251);
  return bytes;
}

}  // namespace

TEST_CASE("a small body goes in one piece") {
  Script script({{Script::ok("{}")}});
  http::Client client(script.socket());
  Upload upload(client, "/v1/snapshots", "application/x-berth-pack");
  upload.take("ab");
  upload.take("c");
  CHECK(upload.finish() == "{}");
  CHECK(script.finish() == std::vector<std::string>{"POST /v1/snapshots abc"});
}

TEST_CASE("a large body is sent while it is made, byte for byte") {
  Script script({{Script::ok("{}")}});
  http::Client client(script.socket());
  Upload upload(client, "/v1/snapshots", "application/x-berth-pack");
  const auto body = pattern(20 << 20);
  for (std::size_t at = 0; at < body.size(); at += 300'000) upload.take(std::string_view(body).substr(at, 300'000));
  CHECK(upload.finish() == "{}");
  CHECK((script.finish().front() == "POST /v1/snapshots " + body));
}

TEST_CASE("a refusal reaches the one who makes the body") {
  Script script({{Script::failure(404, "not_found", "base snapshot abc is not here")}});
  http::Client client(script.socket());
  Upload upload(client, "/v1/snapshots", "application/x-berth-pack");
  CHECK_THROWS_WITH_AS(
      {
        for (int i = 0; i < 100; ++i) upload.take(pattern(1 << 20));
        upload.finish();
      },
      "base snapshot abc is not here", Error);
}

TEST_CASE("a body that is given up is never taken for a whole one") {
  Script script({{Script::ok("{}")}});
  http::Client client(script.socket());
  {
    Upload upload(client, "/v1/snapshots", "application/x-berth-pack");
    upload.take(pattern(6 << 20));
    upload.take(pattern(1 << 20));
  }
  CHECK(script.finish().empty());
}
