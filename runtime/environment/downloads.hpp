#pragma once

// What the builds' tools have downloaded, kept for the next build: where users are told apart a cache for each person,
// DIRECTORY/UID, else one for all, DIRECTORY itself. All of it costs only downloads again, so it is given back before
// anything else that takes time to make.
//
// What is in them was written by builds, that is by anybody: it is counted and removed without following a link, with
// bounded descriptors, and what cannot be counted (`Entry::countable`) is not to be kept. When a cache was used last is
// the kernel's word, the directory's time of change, which its owner cannot set.
//
// A cache goes in two steps: renamed at once, so that the next build begins an empty one; then removed, for however
// long that takes. Thread-safe; blocks, but for bytes() and stop().

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "runtime/base/clock.hpp"
#include "runtime/base/digest.hpp"
#include "runtime/os/removal.hpp"

namespace berth::environment {

class Downloads {
 public:
  using Owner = std::optional<uid_t>;  // nothing: all, where users are not told apart

  struct Entry {
    Owner owner;
    std::uint64_t bytes = 0;
    Instant last_used{};
    bool in_use = false;  // by a build
    bool countable = true;  // else nested deeper, or more files, than any tool makes: `bytes` are not all
  };

  // `apart`: users are told apart.
  Downloads(std::string directory, bool apart) : directory_(std::move(directory)), apart_(apart) {}

  // From before a build is given the cache until nothing of it runs any more.
  void begin(const Digest& build, Owner owner);
  void end(const Digest& build);

  // All there are. Counts those that were used since they were counted last.
  std::vector<Entry> list();
  // Of all, as they were counted last.
  std::uint64_t bytes();

  // No build will be given what is there now: the files and directories to remove(). Code::conflict while one uses it.
  std::vector<std::string> set_aside(Owner owner);
  // What an earlier agent set aside, or had before each person had a cache.
  std::vector<std::string> left_over() const;
  os::Removal remove(const std::vector<std::string>& paths) const;

  // Ends counting and removing, for good.
  void stop() { stop_.request_stop(); }

 private:
  struct Known {
    std::uint64_t bytes = 0;
    bool countable = true;
    bool counted = false;  // since it was used last
  };

  std::string path(Owner owner) const;
  Owner owner_of(const std::string& name) const;
  bool is_set_aside(const std::string& name) const;
  std::vector<Owner> owners() const;
  bool is_used(Owner owner) const;
  void forget_others(const std::vector<Owner>& owners);
  bool has_to_be_counted(Owner owner);
  void count(Owner owner);
  std::string move_away(const std::string& name);

  const std::string directory_;
  const bool apart_;
  std::stop_source stop_;
  std::mutex counting_;  // by one thread at a time; taken before `mutex_`
  std::mutex changing_;  // held by who gives a cache to a build or takes it from all; taken before `mutex_`
  std::mutex mutex_;  // guards the maps; never held while the disk is waited for
  std::map<Digest, Owner> uses_;
  std::map<Owner, Known> known_;
  std::uint64_t moves_ = 0;
};

}  // namespace berth::environment
