// agent/api/openapi.yaml describes exactly the routes that there are.

#include <doctest/doctest.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <set>
#include <string>

#include "tests/agent/api/node.hpp"

using namespace berth;

namespace {

std::set<std::string> routes_of_agent() {
  std::set<std::string> routes;
  api::test::Node().run([&](api::Services&, const http::Router& router) -> async::Task<> {
    for (const auto& route : router.routes()) routes.insert(route.method + " " + route.pattern);
    co_return;
  });
  return routes;
}

std::set<std::string> routes_of_document() {
  std::set<std::string> routes;
  for (const auto& path : YAML::LoadFile(BERTH_OPENAPI)["paths"]) {
    for (const auto& operation : path.second) {
      auto method = operation.first.as<std::string>();
      if (method == "parameters") continue;
      std::transform(method.begin(), method.end(), method.begin(), [](char c) { return static_cast<char>(c - 32); });
      CHECK(operation.second["summary"].IsDefined());
      CHECK(operation.second["responses"].size() > 0);
      routes.insert(method + " " + path.first.as<std::string>());
    }
  }
  return routes;
}

}  // namespace

TEST_CASE("openapi.yaml and the route table name the same operations") {
  const auto agent = routes_of_agent();
  CHECK(agent.size() > 15);
  CHECK(agent == routes_of_document());
}
