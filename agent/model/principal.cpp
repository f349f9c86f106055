#include "agent/model/principal.hpp"

#include <functional>
#include <utility>

namespace berth::model {
namespace {

constexpr auto kNoUid = LimitKey{1} << 63;

}  // namespace

Principal::Principal(Who who, std::optional<uid_t> account, Roles roles)
    : who_(std::move(who)), account_(account), roles_(roles) {}

Principal Principal::local_user(uid_t uid, uid_t account, Roles roles) { return {LocalUser{uid}, account, roles}; }

Principal Principal::person(std::string name, Roles roles) { return {Person{std::move(name)}, std::nullopt, roles}; }

Principal Principal::node(std::string name) { return {Node{std::move(name)}, std::nullopt, {}}; }

std::optional<uid_t> Principal::uid() const {
  const auto* local = std::get_if<LocalUser>(&who_);
  return local != nullptr ? std::optional(local->uid) : std::nullopt;
}

std::optional<std::string> Principal::name() const {
  if (const auto* person = std::get_if<Person>(&who_)) return person->name;
  if (const auto* node = std::get_if<Node>(&who_)) return node->name;
  return std::nullopt;
}

LimitKey Principal::limit_key() const {
  if (const auto own = uid()) return *own;
  // A person and a node of one name are two.
  return kNoUid | std::hash<std::string>()((is_node() ? "node " : "person ") + *name());
}

}  // namespace berth::model
