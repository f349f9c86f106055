#include "runtime/http/peer.hpp"

#include <arpa/inet.h>

#include <algorithm>
#include <array>

namespace berth::http {
namespace {

// What no uid is; the beginning of an IPv6 address is none of these either, once it is made so.
constexpr std::uint64_t kVersion4 = std::uint64_t{1} << 32;
constexpr std::uint64_t kLeastVersion6 = std::uint64_t{2} << 32;

std::uint64_t joined(const std::uint8_t* bytes, std::size_t count) {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < count; ++i) value = value << 8 | bytes[i];
  return value;
}

std::uint64_t value_of(const std::string& address) {
  std::array<std::uint8_t, 16> bytes{};
  if (::inet_pton(AF_INET, address.c_str(), bytes.data()) == 1) return kVersion4 | joined(bytes.data(), 4);
  if (::inet_pton(AF_INET6, address.c_str(), bytes.data()) != 1) return kLeastVersion6;
  const auto* parsed = reinterpret_cast<const in6_addr*>(bytes.data());
  if (IN6_IS_ADDR_V4MAPPED(parsed)) return kVersion4 | joined(bytes.data() + 12, 4);
  return std::max(joined(bytes.data(), 8), kLeastVersion6);
}

}  // namespace

Source source_of(const Peer& peer) {
  if (const auto* local = std::get_if<LocalPeer>(&peer)) return {local->uid};
  return {value_of(std::get<RemotePeer>(peer).address)};
}

}  // namespace berth::http
