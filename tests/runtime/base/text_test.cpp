#include "runtime/base/text.hpp"

#include <doctest/doctest.h>

using namespace berth;

TEST_CASE("well-formed UTF-8 is told from what only looks like it") {
  for (const auto* good : {"", "plain", "gro\xc3\x9f", "\xe2\x82\xac", "\xf0\x9f\x9a\xa2", "\xf4\x8f\xbf\xbf"})
    CHECK(is_utf8(good));
  for (const auto* bad : {"\xff", "\xc3", "\xc3(", "\x80", "\xc0\xaf", "\xe0\x80\xaf", "\xed\xa0\x80",
                          "\xf4\x90\x80\x80", "\xf0\x9f\x9a", "a\xe2\x82"})
    CHECK(!is_utf8(bad));
  CHECK(is_utf8(std::string_view("\0", 1)));
}

TEST_CASE("what could forge a line or drive a terminal is made visible") {
  CHECK(printable("gro\xc3\x9f \xf0\x9f\x9a\xa2") == "gro\xc3\x9f \xf0\x9f\x9a\xa2");
  CHECK(printable("a\nb") == "a\\x0ab");
  CHECK(printable("\x1b[31m") == "\\x1b[31m");
  CHECK(printable("\x7f") == "\\x7f");
  CHECK(printable("\xc2\x9b"
                  "31m") == "\\xc2\\x9b31m");
  CHECK(printable("caf\xe9") == "caf\\xe9");
  CHECK(printable(std::string_view("a\0b", 3)) == "a\\x00b");
}

TEST_CASE("text is cut between characters, and tells that it was") {
  CHECK(shortened("abc", 3) == "abc");
  CHECK(shortened("abcd", 3) == "abc…");
  CHECK(shortened("a€b", 4) == "a€…");
  for (const std::size_t most : {1U, 2U, 3U}) CHECK(shortened("a€b", most) == "a…");
  CHECK(shortened("€", 2) == "…");
  CHECK(shortened("\x80\x80\x80", 2) == "…");  // no characters at all
  CHECK(shortened("a", 0) == "…");
  CHECK(shortened("", 0).empty());
}
