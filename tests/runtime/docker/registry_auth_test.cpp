#include "runtime/docker/registry_auth.hpp"

#include <doctest/doctest.h>

namespace berth::docker {

TEST_CASE("a challenge is read with its quotations") {
  const auto bearer = parse_challenge(
      "Bearer realm=\"https://auth.io/token?a=b,c\",service=\"r.io\", "
      "Scope=\"repository:a/b:pull,push\",x=y");
  REQUIRE(bearer);
  CHECK(bearer->scheme == "bearer");
  CHECK(bearer->parameters.at("realm") == "https://auth.io/token?a=b,c");
  CHECK(bearer->parameters.at("scope") == "repository:a/b:pull,push");
  CHECK(bearer->parameters.at("x") == "y");
  const auto basic = parse_challenge("  Basic realm=\"say \\\"hi\\\"\", Bearer realm=\"other\"");
  REQUIRE(basic);
  CHECK(basic->scheme == "basic");
  CHECK(basic->parameters.at("realm") == "say \"hi\"");
  CHECK(basic->parameters.size() == 1);
  CHECK(parse_challenge("Negotiate")->parameters.empty());
}

TEST_CASE("what is malformed is no challenge") {
  CHECK(!parse_challenge(""));
  CHECK(!parse_challenge("=x"));
  CHECK(!parse_challenge("Bearer realm=\"unfinished"));
}

}  // namespace berth::docker
