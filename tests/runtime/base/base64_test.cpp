#include "runtime/base/base64.hpp"

#include <doctest/doctest.h>

#include <utility>

namespace berth {

TEST_CASE("base64 is that of RFC 4648") {
  const std::pair<std::string, std::string> vectors[] = {{"", ""},
                                                         {"f", "Zg=="},
                                                         {"fo", "Zm8="},
                                                         {"foo", "Zm9v"},
                                                         {"foob", "Zm9vYg=="},
                                                         {"fooba", "Zm9vYmE="},
                                                         {"foobar", "Zm9vYmFy"},
                                                         {"\xff\xfe\xfd", "//79"}};
  for (const auto& [plain, text] : vectors) {
    CHECK(base64(plain) == text);
    CHECK(from_base64(text) == plain);
  }
  CHECK(base64("\xff\xfe\xfd", Base64::url) == "__79");
  CHECK(from_base64("__79") == "\xff\xfe\xfd");
  CHECK(from_base64("Zg") == "f");
  CHECK(!from_base64("Z"));
  CHECK(!from_base64("Zg!="));
}

}  // namespace berth
