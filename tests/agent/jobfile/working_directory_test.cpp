#include "agent/jobfile/working_directory.hpp"

#include <doctest/doctest.h>

using namespace berth::jobfile;

TEST_CASE("absolute paths are normal and end in no slash") {
  CHECK(absolute_path("b/../c/.", "/a") == "/a/c");
  CHECK(absolute_path("/x//y/", "/a") == "/x/y");
  CHECK(absolute_path("../../..", "/a") == "/");
  CHECK(absolute_path(".", "/a/b") == "/a/b");
}

TEST_CASE("a path lies within its root by whole names only") {
  CHECK(path_within("/a/b/c", "/a/b") == "c");
  CHECK(path_within("/a/b", "/a/b") == "");
  CHECK(path_within("/a/bc", "/a/b") == std::nullopt);
  CHECK(path_within("/a", "/a/b") == std::nullopt);
  CHECK(path_within("/a/b", "/") == "a/b");
}

TEST_CASE("relative paths stay below their base") {
  CHECK(relative_path("./a//b/") == "a/b");
  CHECK(relative_path(".") == "");
  CHECK(relative_path("a/..") == "");
  CHECK(relative_path("..a") == "..a");
  CHECK(relative_path("..") == std::nullopt);
  CHECK(relative_path("a/../../b") == std::nullopt);
  CHECK(relative_path("/a") == std::nullopt);
}
