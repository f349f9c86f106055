#pragma once

// A listening unix socket in the file system.

#include <sys/types.h>

#include <optional>
#include <string>

#include "runtime/os/fd.hpp"

namespace berth::http {

// Takes the place of a socket that nobody listens on; Error(Code::conflict) when somebody does, or when the
// path is something else than a socket. Nobody can connect before owner and mode are set. Two programs that
// start at the same instant are kept apart by their own lock, not here.
os::Fd listen_unix(const std::string& path, unsigned mode, std::optional<gid_t> group = std::nullopt);

}  // namespace berth::http
