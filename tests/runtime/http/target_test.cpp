#include "runtime/http/target.hpp"

#include <doctest/doctest.h>

#include "runtime/base/error.hpp"
#include "runtime/http/headers.hpp"

namespace berth::http {

TEST_CASE("a target is split and decoded") {
  const auto target = parse_target("/v1/jobs/a%20b%2Fc/log?follow=1&tag=x+y%26z&flag&=empty");
  CHECK(target.path == "/v1/jobs/a%20b%2Fc/log");
  CHECK(target.segments == std::vector<std::string>{"v1", "jobs", "a b/c", "log"});
  CHECK(target.query.at("follow") == "1");
  CHECK(target.query.at("tag") == "x y&z");
  CHECK(target.query.at("flag").empty());
  CHECK(target.query.at("") == "empty");
  CHECK(parse_target("/").segments.empty());
  CHECK(parse_target("/a?").query.empty());
}

TEST_CASE("hostile targets are refused") {
  for (const std::string_view text :
       {"",     "v1",    "*",      "http://x/", "//",    "/a//b",    "/a/",    "/./a", "/a/..", "/%2e%2e/x", "/a%",
        "/a%2", "/a%zz", "/a%00b", "/a%0ab",    "/a\nb", "/a?x=%0d", "/a?x=%", "/a#b", "/%ff",  "/%c0%af"}) {
    CAPTURE(text);
    CHECK_THROWS_AS(parse_target(text), Error);
  }
  CHECK_THROWS_AS(parse_target("/" + std::string(kLongestSegment + 1, 'a')), Error);
  CHECK(parse_target("/" + std::string(kLongestSegment, 'a')).segments.front().size() == kLongestSegment);
}

TEST_CASE("header names are compared without regard to case") {
  Headers headers;
  headers.add("Content-Type", "a");
  headers.add("X-Two", "1");
  headers.add("x-two", "2");
  CHECK(headers.find("content-TYPE") == "a");
  CHECK(headers.find("X-TWO") == "1");
  CHECK(!headers.find("X-Tw"));
  headers.set("X-two", "3");
  CHECK(headers.size() == 2);
  CHECK(headers.find("x-two") == "3");
}

}  // namespace berth::http
