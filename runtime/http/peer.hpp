#pragma once

// Who is at the other end of a connection, as its transport knows it. What that means is for who makes the answers.

#include <sys/types.h>

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <variant>

namespace berth::http {

// Over a unix socket: a process of this machine, as the kernel tells (SO_PEERCRED).
struct LocalPeer {
  pid_t pid = 0;
  uid_t uid = static_cast<uid_t>(-1);
  gid_t gid = static_cast<gid_t>(-1);
};

// Over TLS.
struct RemotePeer {
  // The client's own, which an authority that the server trusts has signed.
  struct Certificate {
    std::string name;         // its common name; "" where it has none
    std::string fingerprint;  // SHA-256 of it, in hex
  };
  std::string address;  // numeric, without the port
  std::optional<Certificate> certificate{};
};

using Peer = std::variant<LocalPeer, RemotePeer>;

// Those who share what one of them may have of connections, turns and memory: a user of this machine; an IPv4 address;
// the first 64 bits of an IPv6 address, which are one customer's.
struct Source {
  std::uint64_t value = 0;
  friend auto operator<=>(const Source&, const Source&) = default;
};
Source source_of(const Peer& peer);

}  // namespace berth::http
