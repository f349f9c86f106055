#include "runtime/http/router.hpp"

#include <doctest/doctest.h>

#include "runtime/base/error.hpp"

namespace berth::http {
namespace {

Handler none() {
  return [](Request&) -> async::Task<Response> { co_return Response::empty(); };
}

// The pattern that answers, or "" where none does.
std::string answering(const Router& router, std::string_view method, std::string_view path) {
  const auto match = router.find(method, parse_target(path).segments);
  for (const auto& route : router.routes())
    if (&route.handler == match.handler) return route.method + " " + route.pattern;
  return {};
}

}  // namespace

TEST_CASE("a route is found by method and path, and parameters are taken out") {
  Router router;
  router.add("GET", "/v1/jobs", none());
  router.add("GET", "/v1/jobs/{id}", none());
  router.add("DELETE", "/v1/jobs/{id}", none());
  router.add("GET", "/v1/jobs/{id}/log", none());
  router.add("GET", "/v1/jobs/{id}/files/{path...}", none());
  CHECK(answering(router, "GET", "/v1/jobs") == "GET /v1/jobs");
  CHECK(answering(router, "GET", "/v1/jobs/7") == "GET /v1/jobs/{id}");
  CHECK(answering(router, "HEAD", "/v1/jobs/7") == "GET /v1/jobs/{id}");
  CHECK(answering(router, "DELETE", "/v1/jobs/7") == "DELETE /v1/jobs/{id}");
  CHECK(answering(router, "GET", "/v1/jobs/7/log") == "GET /v1/jobs/{id}/log");
  CHECK(answering(router, "GET", "/v1/jobs/7/nothing").empty());
  CHECK(answering(router, "GET", "/v1/jobs/7/files").empty());
  const auto match = router.find("GET", parse_target("/v1/jobs/a%2Fb/files/x/y%20z").segments);
  CHECK(match.parameters.at("id") == "a/b");
  CHECK(match.parameters.at("path") == "x/y z");
}

TEST_CASE("literal segments win over parameters, whatever the order") {
  Router router;
  router.add("GET", "/v1/{kind...}", none());
  router.add("GET", "/v1/jobs/{id}", none());
  router.add("GET", "/v1/jobs/latest", none());
  CHECK(answering(router, "GET", "/v1/jobs/latest") == "GET /v1/jobs/latest");
  CHECK(answering(router, "GET", "/v1/jobs/7") == "GET /v1/jobs/{id}");
  CHECK(answering(router, "GET", "/v1/jobs/7/x") == "GET /v1/{kind...}");
}

TEST_CASE("the methods of a path that exists are told") {
  Router router;
  router.add("GET", "/a", none());
  router.add("POST", "/a", none());
  CHECK(router.find("PUT", {"a"}).allow == "GET, POST");
  CHECK(router.find("PUT", {"b"}).allow.empty());
}

TEST_CASE("malformed and doubled routes are defects") {
  Router router;
  router.add("GET", "/a/{id}", none());
  CHECK_THROWS_AS(router.add("GET", "/a/{other}", none()), Error);
  CHECK_THROWS_AS(router.add("GET", "a", none()), Error);
  CHECK_THROWS_AS(router.add("GET", "/a//b", none()), Error);
  CHECK_THROWS_AS(router.add("GET", "/{}", none()), Error);
  CHECK_THROWS_AS(router.add("GET", "/{a...}/b", none()), Error);
  router.add("POST", "/a/{id}", none());
  CHECK(router.routes().size() == 2);
}

}  // namespace berth::http
