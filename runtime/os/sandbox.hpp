#pragma once

// A view of the machine for a program that is not trusted: its own directories, the system's programs, what it was
// given to read, and nothing else: no other processes, no others' files, no sockets of the machine, no shared memory.

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "runtime/os/identity.hpp"

namespace berth::os {

// All paths are absolute, and are the same inside as outside.
struct Sandbox {
  std::vector<std::string> writable;  // directories
  // Files and directories, as far as the program's user may reach them from outside; what is absent, hidden, or a place
  // of sockets and devices (/run, /dev, /proc, /sys) is left out.
  std::vector<std::string> readable;
  std::vector<std::string> hidden;  // directories; of what is in them only what `writable` names is there
  std::string tmp;  // one of `writable`: its /tmp and /var/tmp; "" for empty ones in memory
  std::uint64_t shared_memory = 1U << 30;  // bytes of its /dev/shm
  friend bool operator==(const Sandbox&, const Sandbox&) = default;
};

// Goes on in a child of the calling process (single-threaded), the first process of a namespace of its own: with its
// end everything that it has started ends. The calling process itself does not return: it waits, and ends as the child
// does. The child has every right left that it needs to become `identity`, which is to be its next step; with nothing
// to become it has given up all capabilities. The user may have 4096 processes. Throws before or after the fork.
void enter_sandbox(const Sandbox& sandbox, const std::optional<Identity>& identity);

// "" where that works on this machine, else the reason: tried in a child process (so: before there are threads, whose
// locks it could find taken), with the directory `place` to write
// to, of which nothing changes. Whoever is killed meanwhile leaves nothing.
std::string why_no_sandbox(const std::optional<Identity>& identity, const std::string& place);

// Kills all processes of a user that nobody but this process starts programs as, until there are none.
void kill_processes_of(uid_t user);

}  // namespace berth::os
