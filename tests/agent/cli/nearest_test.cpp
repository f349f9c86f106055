#include "agent/cli/nearest.hpp"

#include <doctest/doctest.h>

using berth::cli::nearest;

TEST_CASE("a mistyped word finds its neighbour, another one none") {
  const std::vector<std::string> verbs{"run", "submit", "ps", "logs", "status", "cancel"};
  CHECK(nearest("sumbit", verbs) == "submit");
  CHECK(nearest("log", verbs) == "logs");
  CHECK(nearest("rnu", verbs) == "run");
  CHECK(nearest("stats", verbs) == "status");
  CHECK(nearest("explode", verbs) == std::nullopt);
  CHECK(nearest("", verbs) == std::nullopt);
  CHECK(nearest(std::string(1000, 'x'), verbs) == std::nullopt);
}
