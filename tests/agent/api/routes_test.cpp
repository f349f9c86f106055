// Every route asks first who asks: tried on the real routes of a node that belongs to this test's user.

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "runtime/async/attempt.hpp"
#include "tests/agent/api/node.hpp"

using namespace berth;
using api::test::answer_of;
using api::test::Node;
using api::test::own_peer;

namespace {

// A pattern with something in place of its parameters.
std::string path_of(const std::string& pattern) {
  std::string path;
  for (std::size_t at = 0; at < pattern.size(); ++at) {
    path += pattern[at] == '{' ? 'x' : pattern[at];
    if (pattern[at] == '{') at = pattern.find('}', at);
  }
  return path;
}

async::Task<> check_refused(const http::Router& router, http::Peer peer) {
  for (const auto& route : router.routes()) {
    CAPTURE(route.method);
    CAPTURE(route.pattern);
    auto asking = answer_of(router, route.method, path_of(route.pattern), peer);
    const auto answer = co_await async::attempt(std::move(asking));
    REQUIRE_FALSE(answer);
    CHECK(answer.error().code() == Code::denied);
  }
}

}  // namespace

TEST_CASE("no route serves who may not use the agent, whatever he comes by") {
  Node node;
  node.run([](api::Services&, const http::Router& router) -> async::Task<> {
    const uid_t other = ::geteuid() + 1;
    CHECK(router.routes().size() > 15);
    const http::LocalPeer local{1, other, other};
    co_await check_refused(router, local);
    http::RemotePeer remote{"192.0.2.7"};
    remote.certificate = http::RemotePeer::Certificate{"root", "00"};
    co_await check_refused(router, remote);
  });
}

TEST_CASE("a submission and its queue, by the routes alone") {
  Node node;
  node.run([](api::Services&, const http::Router& router) -> async::Task<> {
    const std::string request =
        R"({"command":["true"],"working_directory":"/","held":true,"submission_id":"00000000000000000000000000000001"})";
    const auto made = co_await answer_of(router, "POST", "/v1/jobs", own_peer(), request);
    CHECK(made.status() == 201);
    const auto told = nlohmann::json::parse(made.body());
    const auto id = told.at("jobs").at(0).at("id").get<std::string>();
    const auto shown = co_await answer_of(router, "GET", "/v1/jobs/@last", own_peer());
    CHECK(nlohmann::json::parse(shown.body()).at("id") == id);
    const auto status = co_await answer_of(router, "GET", "/v1/status", own_peer());
    CHECK(nlohmann::json::parse(status.body()).at("jobs").at("queued") == 1);
    const auto canceled = co_await answer_of(router, "POST", "/v1/jobs/" + id + "/cancel", own_peer());
    CHECK(nlohmann::json::parse(canceled.body()).at("ending").at("kind") == "canceled");
  });
}
