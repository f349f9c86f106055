#pragma once

// Who asks, as far as that is proven: made where a request comes in, of what its transport tells or of its token, and
// handed on to whatever decides by it. Nothing behind the routes sees the transport.

#include <sys/types.h>

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <variant>

namespace berth::model {

// As whom somebody is counted wherever each may have so much (async::Shares, async::Lanes).
using LimitKey = std::uint64_t;

enum class Role : std::uint8_t {
  reader = 1,         // sees everybody's jobs
  submitter = 2,      // may have jobs of his own
  administrator = 4,  // all that the others may, with everybody's jobs and with the node itself
};

class Roles {
 public:
  Roles() = default;
  Roles(std::initializer_list<Role> roles) {
    for (const auto role : roles) bits_ |= static_cast<unsigned>(role);
  }
  bool has(Role role) const { return (bits_ & (static_cast<unsigned>(role) | kAll)) != 0; }
  friend bool operator==(const Roles&, const Roles&) = default;

 private:
  static constexpr auto kAll = static_cast<unsigned>(Role::administrator);
  unsigned bits_ = 0;
};

class Principal {
 public:
  // A user of this machine, as the kernel tells. `account` is whose the jobs are that he submits: his own, or, where an
  // agent serves one user alone, that user's.
  static Principal local_user(uid_t uid, uid_t account, Roles roles);
  // Who has shown a token of a person's.
  static Principal person(std::string name, Roles roles);
  // Who has shown a node's: it speaks for itself alone.
  static Principal node(std::string name);

  bool has(Role role) const { return roles_.has(role); }
  // Whether what is this account's is his, or he is over it.
  bool owns(uid_t account) const { return has(Role::administrator) || account_ == account; }

  // On this machine, where he has one.
  const std::optional<uid_t>& account() const { return account_; }
  // As whom the machine knows him; nothing for who came with a token.
  std::optional<uid_t> uid() const;
  // Of a person or a node; nothing for a user of this machine, whose name is the user database's.
  std::optional<std::string> name() const;
  bool is_node() const { return std::holds_alternative<Node>(who_); }

  LimitKey limit_key() const;
  // Root is asked to leave room for others nowhere.
  bool is_bounded() const { return uid() != uid_t{0}; }

  friend bool operator==(const Principal&, const Principal&) = default;

 private:
  struct LocalUser {
    uid_t uid = 0;
    friend bool operator==(const LocalUser&, const LocalUser&) = default;
  };
  struct Person {
    std::string name;
    friend bool operator==(const Person&, const Person&) = default;
  };
  struct Node {
    std::string name;
    friend bool operator==(const Node&, const Node&) = default;
  };
  using Who = std::variant<LocalUser, Person, Node>;

  Principal(Who who, std::optional<uid_t> account, Roles roles);

  Who who_;
  std::optional<uid_t> account_;
  Roles roles_;
};

}  // namespace berth::model
