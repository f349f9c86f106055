#pragma once

// Web addresses, as far as a client needs them.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace berth::http {

struct Url {
  std::string scheme;  // "http" or "https"
  std::string host;    // an IPv6 address without its brackets
  std::uint16_t port = 0;
  std::string target = "/";  // path and query

  // "host", or "host:port" where the port is not the scheme's own; as in the Host field.
  std::string authority() const;
  bool same_server(const Url& other) const {
    return scheme == other.scheme && host == other.host && port == other.port;
  }
  std::string text() const { return scheme + "://" + authority() + target; }
};

// Nothing for what is not an http or https address; one with a user name is refused too.
std::optional<Url> parse_url(std::string_view text);
// What a Location field means, as seen at `base`: an absolute address, or a path of the same server.
std::optional<Url> follow(const Url& base, std::string_view location);

}  // namespace berth::http
