#include "runtime/objects/sha256.hpp"

#include <doctest/doctest.h>

#include <string>

#include "runtime/objects/checksum.hpp"

using namespace berth::objects;

TEST_CASE("SHA-256 gives the published values") {
  CHECK(sha256("").hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  CHECK(sha256("abc").hex() == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  CHECK(sha256(std::string(1'000'000, 'a')).hex() ==
        "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST_CASE("SHA-256 in pieces is that of the whole") {
  Sha256 hash;
  hash.update("a");
  hash.update("");
  hash.update("bc");
  CHECK(hash.finish() == sha256("abc"));
}

TEST_CASE("the checksum is part of stored formats and tells single bits apart") {
  std::string bytes(1000, 'x');
  const auto before = checksum64(bytes);
  for (const std::size_t at : {0U, 31U, 500U, 999U}) {
    bytes[at] ^= 1;
    CHECK(checksum64(bytes) != before);
    bytes[at] ^= 1;
  }
  CHECK(checksum64("berth") == 12207657200991136044ULL);
  CHECK(checksum64("") != checksum64(std::string(1, '\0')));
}
