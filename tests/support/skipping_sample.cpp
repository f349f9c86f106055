// Run by skips_test.py, which chooses among these.

#include <doctest/doctest.h>

#include "tests/support/skip.hpp"

TEST_CASE("tried") { CHECK(true); }

TEST_CASE("needs the moon") {
  SKIP_UNLESS(false, "the moon");
  CHECK(false);
}

TEST_CASE("needs the moon too") {
  SKIP_UNLESS(false, "the moon");
  CHECK(false);
}

TEST_CASE("needs the sun") {
  SKIP_UNLESS(false, "the sun");
  CHECK(false);
}

TEST_CASE("in part") {
  SUBCASE("here") { CHECK(true); }
  SUBCASE("elsewhere") { SKIP_UNLESS(false, "the moon"); }
}

TEST_CASE("broken") { CHECK(false); }
