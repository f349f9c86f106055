#pragma once

// Listening sockets: a unix socket in the file system, or a TCP port.

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>

#include "runtime/os/fd.hpp"

namespace berth::http {

// Takes the place of a socket that nobody listens on; Error(Code::conflict) when somebody does, or when the
// path is something else than a socket. Nobody can connect before owner and mode are set. Two programs that
// start at the same instant are kept apart by their own lock, not here.
os::Fd listen_unix(const std::string& path, unsigned mode, std::optional<gid_t> group = std::nullopt);

// At a numeric address ("::" is all of both versions), a port; 0 is any that is free. Code::conflict where somebody
// listens there.
os::Fd listen_tcp(const std::string& address, std::uint16_t port);
std::uint16_t port_of(const os::Fd& listener);

}  // namespace berth::http
