#pragma once

// What a process may see but not change, by mounts in the namespace of its own that it has (enter_private_mounts).

#include <sys/types.h>

#include <string>
#include <vector>

#include "runtime/os/fd.hpp"

namespace berth::os {

// A user namespace for mount_owned(): root's ids are those of the user there and his are root's, all others are what
// they are. Needs a process more for a moment, so it is for the caller to be where one may be made.
Fd swapped_ids(uid_t uid, gid_t gid);
// Mounts `directory` on itself so that what is root's in it appears as that user's: for an overlay to be mounted on,
// since what a user does not own he could not change in his own layer either. Needs Linux 5.19, and a file system that
// takes part.
void mount_owned(const std::string& directory, const Fd& swapped);

// In this namespace nothing at or below the directories can be written, whoever asks, but what is at or below
// `writable`; directories that are not there are passed over. Through a descriptor opened before it goes on. What the
// machine mounts below them later does not appear.
void protect(const std::vector<std::string>& directories, const std::vector<std::string>& writable);

// What of this the kernel lets this process do: tried in a child.
struct Protections {
  bool read_only = false;  // protect()
  bool layers = false;     // an overlay on what is this process' own
  bool owned = false;      // an overlay on it for another user, by mount_owned()
};
// `shared`: where what is to be protected lies; `own`: where the layers on it will be. Both exist.
Protections possible_protections(const std::string& shared, const std::string& own);

}  // namespace berth::os
