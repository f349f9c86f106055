#include "runtime/base/result.hpp"

#include <doctest/doctest.h>

#include <memory>
#include <string>

using namespace berth;

TEST_CASE("a result holds a value or an error") {
  Result<std::string> good(std::string("yes"));
  CHECK(good);
  CHECK(*good == "yes");
  CHECK(good->size() == 3);
  CHECK(good.value() == "yes");
  const Result<std::string> bad(Error(Code::not_found, "no"));
  CHECK(!bad);
  CHECK(bad.error().code() == Code::not_found);
  CHECK_THROWS_AS((void)bad.value(), Error);
}

TEST_CASE("a value that only moves can be taken out") {
  Result<std::unique_ptr<int>> result(std::make_unique<int>(7));
  CHECK(*std::move(result).value() == 7);
}

TEST_CASE("a result of nothing is success or an error") {
  CHECK(Result<void>());
  CHECK_NOTHROW(Result<void>().value());
  const Result<void> bad(Error(Code::io, "no"));
  CHECK(!bad.has_value());
  CHECK_THROWS_AS(bad.value(), Error);
}
