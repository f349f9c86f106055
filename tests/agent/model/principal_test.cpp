#include "agent/model/principal.hpp"

#include <doctest/doctest.h>

using namespace berth::model;

TEST_CASE("a local user is known by uid, and what he submits is his account's") {
  const auto ada = Principal::local_user(1000, 1000, {Role::submitter});
  CHECK(ada.uid() == uid_t{1000});
  CHECK(ada.account() == uid_t{1000});
  CHECK_FALSE(ada.name());
  CHECK(ada.has(Role::submitter));
  CHECK_FALSE(ada.has(Role::reader));
  CHECK_FALSE(ada.has(Role::administrator));
  CHECK(ada.owns(1000));
  CHECK_FALSE(ada.owns(1001));
  CHECK_FALSE(ada.owns(0));

  const auto root_at_hers = Principal::local_user(0, 1000, {Role::administrator});
  CHECK(root_at_hers.uid() == uid_t{0});
  CHECK(root_at_hers.account() == uid_t{1000});
}

TEST_CASE("an administrator may what the others may, and everything is his") {
  const auto root = Principal::local_user(0, 0, {Role::administrator});
  for (const auto role : {Role::reader, Role::submitter, Role::administrator}) CHECK(root.has(role));
  CHECK(root.owns(1000));
}

TEST_CASE("who comes with a token has a name, his roles, and no account") {
  const auto ada = Principal::person("ada", {Role::reader, Role::submitter});
  CHECK(ada.name() == "ada");
  CHECK_FALSE(ada.uid());
  CHECK_FALSE(ada.account());
  CHECK(ada.has(Role::reader));
  CHECK_FALSE(ada.has(Role::administrator));
  CHECK_FALSE(ada.owns(0));
  CHECK_FALSE(ada.is_node());

  const auto node = Principal::node("gpu-1");
  CHECK(node.name() == "gpu-1");
  CHECK(node.is_node());
  for (const auto role : {Role::reader, Role::submitter, Role::administrator}) CHECK_FALSE(node.has(role));
}

TEST_CASE("each is counted apart, and only root without bounds") {
  const auto user = Principal::local_user(1000, 1000, {});
  CHECK(user.limit_key() == 1000);
  CHECK(Principal::local_user(0, 1000, {}).limit_key() == 0);
  CHECK(Principal::person("1000", {}).limit_key() != user.limit_key());
  CHECK(Principal::person("ada", {}).limit_key() == Principal::person("ada", {Role::reader}).limit_key());
  CHECK(Principal::person("ada", {}).limit_key() != Principal::person("bob", {}).limit_key());
  CHECK(Principal::person("ada", {}).limit_key() != Principal::node("ada").limit_key());

  CHECK(user.is_bounded());
  CHECK(Principal::person("root", {Role::administrator}).is_bounded());
  CHECK_FALSE(Principal::local_user(0, 0, {}).is_bounded());
}
