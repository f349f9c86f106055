#include "runtime/base/percent.hpp"

#include <doctest/doctest.h>

namespace berth {

TEST_CASE("all but what is unreserved is escaped, and comes back") {
  CHECK(percent_encoded("a-b_c.d~9") == "a-b_c.d~9");
  CHECK(percent_encoded("{\"x\": [1]}/ü") == "%7B%22x%22%3A%20%5B1%5D%7D%2F%C3%BC");
  CHECK(percent_encoded("/ü", EscapeDigits::lower) == "%2f%c3%bc");
  std::string all;
  for (int i = 0; i < 256; ++i) all += static_cast<char>(i);
  CHECK(percent_decoded(percent_encoded(all)) == all);
  CHECK(percent_decoded(percent_encoded(all, EscapeDigits::lower)) == all);
}

TEST_CASE("what is no escape stays, and is told") {
  CHECK(percent_decoded("a%20b%2Fc%2f") == "a b/c/");
  CHECK(!has_broken_escape("a%20b%2Fc%2f"));
  CHECK(percent_decoded("%2525") == "%25");  // once
  for (const auto* text : {"%", "a%", "%2", "%zz", "%2g", "%-1", "%+1", "% 1", "%%2", "%0x1"}) {
    CAPTURE(text);
    CHECK(percent_decoded(text) == text);
    CHECK(has_broken_escape(text));
  }
  CHECK(percent_decoded("%%20") == "% ");
  CHECK(has_broken_escape("%%20"));
}

}  // namespace berth
