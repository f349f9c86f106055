#include "runtime/base/digest.hpp"

#include <doctest/doctest.h>

#include <unordered_set>

using namespace berth;

TEST_CASE("a digest is written in hexadecimal and read back") {
  Digest digest;
  for (std::size_t i = 0; i < digest.bytes.size(); ++i) digest.bytes[i] = static_cast<std::uint8_t>(i * 8);
  CHECK(digest.hex() == "0008101820283038404850586068707880889098a0a8b0b8c0c8d0d8e0e8f0f8");
  CHECK(digest.brief() == "000810182028");
  CHECK(parse_digest(digest.hex()) == digest);
}

TEST_CASE("only 64 lower-case hexadecimal digits are a digest") {
  const std::string good(64, 'a');
  CHECK(parse_digest(good));
  CHECK(!parse_digest(""));
  CHECK(!parse_digest(good.substr(1)));
  CHECK(!parse_digest(good + "a"));
  CHECK(!parse_digest(std::string(64, 'A')));
  CHECK(!parse_digest(std::string(63, 'a') + "g"));
  CHECK(!parse_digest(std::string(63, 'a') + " "));
}

TEST_CASE("digests are ordered and hashed by their bytes") {
  const auto a = *parse_digest(std::string(64, '1'));
  const auto b = *parse_digest(std::string(64, '2'));
  CHECK(a < b);
  CHECK(std::unordered_set<Digest>{a, b, a}.size() == 2);
}
