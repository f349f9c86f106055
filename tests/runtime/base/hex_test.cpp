#include "runtime/base/hex.hpp"

#include <doctest/doctest.h>

namespace berth {

TEST_CASE("bytes are spelled in one way") {
  std::string all;
  for (int i = 0; i < 256; ++i) all += static_cast<char>(i);
  CHECK(to_hex(std::string("\x00\x0f\xa0\xff", 4)) == "000fa0ff");
  CHECK(from_hex(to_hex(all)) == all);
  CHECK(from_hex("") == "");
  for (const auto* text : {"0", "0g", "g0", "0F", "000", " 0", "0x"}) {
    CAPTURE(text);
    CHECK(!from_hex(text));
  }
}

}  // namespace berth
