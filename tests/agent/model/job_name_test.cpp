#include "agent/model/job_name.hpp"

#include <doctest/doctest.h>

#include <random>
#include <set>

using namespace berth::model;

TEST_CASE("a name is an adjective, an animal and four letters or digits that cannot be confused") {
  std::mt19937_64 random(7);
  for (int i = 0; i < 10'000; ++i) {
    const auto name = job_name(random()).value();
    REQUIRE(is_job_id(name));
    const auto dash = name.find('-');
    const auto last = name.rfind('-');
    REQUIRE(dash != last);
    REQUIRE(name.size() - last == 5);
    REQUIRE(name.find_first_of("ilo01", last) == std::string::npos);
  }
}

TEST_CASE("the same number gives the same name, and numbers seldom share one") {
  CHECK(job_name(42) == job_name(42));
  std::mt19937_64 random(8);
  std::set<JobId> names;
  for (int i = 0; i < 100'000; ++i) names.insert(job_name(random()));
  CHECK(names.size() > 99'950);
}

TEST_CASE("all words differ") {
  std::set<std::string> adjectives;
  std::set<std::string> animals;
  for (std::uint64_t i = 0; i < 256; ++i) {
    const auto name = job_name(i).value();
    adjectives.insert(name.substr(0, name.find('-')));
    const auto other = job_name(i << 8).value();
    animals.insert(other.substr(other.find('-') + 1));
  }
  CHECK(adjectives.size() == 256);
  CHECK(animals.size() == 256);
}
