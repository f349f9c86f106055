#include "runtime/os/module.hpp"

#include <doctest/doctest.h>

#include "runtime/base/error.hpp"

using namespace berth;

TEST_CASE("a module that is not there is told with its path, and what to do") {
  try {
    os::load_module("berth_nowhere", "berth_nowhere_1");
    FAIL("it was loaded");
  } catch (const Error& error) {
    CHECK(error.code() == Code::unavailable);
    CHECK(error.message().find("lib/berth/libberth_nowhere.so") != std::string::npos);
    CHECK(error.describe().find("install it again") != std::string::npos);
  }
}
