#pragma once

// From a manifest to a tree. Everything is made new and relative to directories held open, so nothing is ever
// written through a symbolic link or over an existing file, and nothing at all where the files are larger than the free
// space (Code::no_space). Files are 0644 or 0755, directories 0755.

#include <sys/types.h>

#include <functional>
#include <optional>
#include <stop_token>
#include <string>

#include "runtime/objects/store.hpp"
#include "runtime/os/fd.hpp"
#include "runtime/snapshot/manifest.hpp"

namespace berth::snapshot {

struct Owner {
  uid_t uid;
  gid_t gid;
};

struct RestoreOptions {
  std::optional<Owner> owner;  // nobody's business but this process's where absent
  std::stop_token stop{};  // which is Cancelled
};

// Fills the existing, empty directory `target`; Code::conflict where a name is taken. Leaves what it wrote on
// failure.
void restore(const objects::Store& store, const Manifest& manifest, const os::Fd& target,
             const RestoreOptions& options = {});
// Makes the directory, which must not exist.
void restore(const objects::Store& store, const Manifest& manifest, const std::string& target,
             const RestoreOptions& options = {});

// Writes some of a manifest's entries: those for which `wanted` says so. A directory is made where it or
// anything below it is wanted. The building block of restore and of thin layers.
void restore_some(const objects::Store& store, const Manifest& manifest, const os::Fd& target,
                  const RestoreOptions& options, const std::function<bool(std::uint32_t entry)>& wanted);

}  // namespace berth::snapshot
