#pragma once

// Opening what somebody less trusted may have put in place: never through a link, never out of the directory, and only
// what is of the type and the owner that is expected. A fifo, a device or a link is refused before it is opened, so
// that nothing hangs, is read that should not be, or is written to elsewhere.

#include <sys/stat.h>
#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "runtime/os/fd.hpp"

namespace berth::os {

// A user that nobody is, and to whom nothing else belongs: the owner of the contract files of a launch in a container,
// where a job may be root (without any capability) and must not write them all the same.
inline constexpr uid_t kNobodysOwn = 0xFFFF'FFF0U;

struct Expected {
  mode_t type = S_IFREG;  // S_IFREG or S_IFDIR
  // Any of these; empty: whoever.
  std::vector<uid_t> owners{};
};

// A regular file of this process' own user, of root, or of nobody (kNobodysOwn): what no job can have made, unless it
// is the same user.
Expected trusted_file();

// The directory itself, not what a link at its end leads to; for what is opened beneath it. What leads to it must be
// trusted.
Fd open_directory(const std::string& path);

// Whatever is at `path`, a relative one of names or ".", without following a link on the way or leaving the directory:
// an empty handle and errno (ELOOP, EXDEV) where it would. For who looks at the type himself; without O_PATH or
// O_NONBLOCK opening a fifo hangs.
Fd try_open_beneath(const Fd& directory, const std::string& path, int flags, mode_t mode = 0);

// `path`: relative, of one or more names, none of them ".."; with O_CREAT (then `mode` counts) a new file is made only
// where nothing is. Throws Error: Code::not_found where it is absent, Code::corrupt where something else is in its
// place (a link on the way, another type, another owner).
Fd open_beneath(const Fd& directory, const std::string& path, int flags, const Expected& expected, mode_t mode = 0600);
// Nothing where it is absent.
std::optional<Fd> open_beneath_if_exists(const Fd& directory, const std::string& path, int flags,
                                         const Expected& expected);

// The same for a file in a directory that is trusted, by its path.
Fd open_plain(const std::string& path, int flags, const Expected& expected = trusted_file());
std::optional<std::string> read_plain_if_exists(const std::string& path, const Expected& expected = trusted_file(),
                                                std::uint64_t limit = 64U << 20);

}  // namespace berth::os
