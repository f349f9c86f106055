#include "runtime/shim/seal.hpp"

#include <doctest/doctest.h>

#include "runtime/shim/contract.hpp"

using namespace berth::shim;

namespace {

std::string ending_text() {
  Ended ended;
  ended.outcome = berth::os::Exit{false, 3};
  ended.remarks = {"a remark"};
  return to_text(ended);
}

}  // namespace

TEST_CASE("a sealed ending is known by the key and by its print, and is read as before") {
  const auto key = new_key();
  const auto text = sealed(ending_text(), key);
  CHECK(is_genuine(text, {key, ""}));
  CHECK(is_genuine(text, {"", print_of(key)}));
  CHECK(std::get<berth::os::Exit>(ended_from_text(text).outcome).status == 3);
}

TEST_CASE("what was written by another, or changed, is not genuine") {
  const auto key = new_key();
  const auto other = new_key();
  const auto text = sealed(ending_text(), key);
  for (const Seal& seal : {Seal{key, ""}, Seal{"", print_of(key)}}) {
    CHECK(!is_genuine(ending_text(), seal));
    CHECK(!is_genuine(sealed(ending_text(), other), seal));
    CHECK(!is_genuine("", seal));
    auto changed = text;
    changed[changed.find('3')] = '0';
    CHECK(!is_genuine(changed, seal));
    CHECK(!is_genuine(text + "\n", seal));
    CHECK(!is_genuine(text.substr(1), seal));
  }
}

TEST_CASE("a key is forgotten where it must not stay") {
  CHECK(kept_key().empty());
  const auto key = new_key();
  keep_key(key);
  CHECK(kept_key() == key);
  forget_key();
  CHECK(kept_key().empty());
  keep_key("too short");
  CHECK(kept_key().empty());
}
