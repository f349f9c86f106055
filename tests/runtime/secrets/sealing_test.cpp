#include "runtime/secrets/sealing.hpp"

#include <doctest/doctest.h>

#include "runtime/base/error.hpp"

using namespace berth;
using namespace berth::secrets;

namespace {

Key key_of(unsigned char byte) {
  Key key{};
  key.fill(byte);
  return key;
}

const Key kKey = key_of(1);

Code refused(const Key& key, std::string_view context, const std::string& sealed) {
  try {
    unseal(key, context, sealed);
  } catch (const Error& error) {
    return error.code();
  }
  FAIL("opened");
  return Code::internal;
}

}  // namespace

TEST_CASE("what is sealed opens again, whatever is in it") {
  for (const auto& text : {std::string(), std::string("a"), std::string("\0\xff\n", 3), std::string(1 << 20, 'x')}) {
    const auto sealed = seal(kKey, "job 1", text);
    CHECK(unseal(kKey, "job 1", sealed) == text);
    CHECK(seal(kKey, "job 1", text) != sealed);
  }
}

TEST_CASE("no bit of it can be changed, and none be missing or too many") {
  const auto sealed = seal(kKey, "job 1", "secret");
  for (std::size_t at = 0; at < sealed.size(); ++at) {
    CAPTURE(at);
    auto changed = sealed;
    changed[at] = static_cast<char>(changed[at] ^ 0x10);
    CHECK(refused(kKey, "job 1", changed) != Code::internal);
    CHECK(refused(kKey, "job 1", sealed.substr(0, at)) == Code::corrupt);
  }
  CHECK(refused(kKey, "job 1", sealed + "x") == Code::corrupt);
}

TEST_CASE("another key, another owner and a newer version are told apart") {
  const auto sealed = seal(kKey, "job 1", "secret");
  CHECK(refused(key_of(2), "job 1", sealed) == Code::denied);
  CHECK(refused(kKey, "job 2", sealed) == Code::corrupt);
  CHECK(refused(kKey, "", sealed) == Code::corrupt);
  auto newer = sealed;
  newer[5] = '2';
  CHECK(refused(kKey, "job 1", newer) == Code::unsupported);
}

TEST_CASE("marks are equal for equal texts under one key") {
  CHECK(mark(kKey, "a") == mark(kKey, "a"));
  CHECK(mark(kKey, "a") != mark(kKey, "b"));
  CHECK(mark(kKey, "a") != mark(key_of(2), "a"));
  CHECK(mark(kKey, "a").size() == 64);
}

// Stored once: every later version opens it.
TEST_CASE("the format stays") {
  constexpr std::string_view kHex =
      "6265727468319cf8a7d187f33ad479309ee6300a5a6b484da17b731bf405815153f3417879a809c9da1d4b55a23891bf";
  std::string sealed;
  for (std::size_t i = 0; i + 1 < kHex.size(); i += 2)
    sealed += static_cast<char>(std::stoi(std::string(kHex.substr(i, 2)), nullptr, 16));
  CHECK(unseal(kKey, "job 1", sealed) == "secret");
}
