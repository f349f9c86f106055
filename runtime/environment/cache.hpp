#pragma once

// The environments that were built, on disk, below one directory:
//
//   DIGEST/ready.json   written last, atomically and synced: without it the environment is not there
//   DIGEST/made/prefix  the environment itself
//   DIGEST/build        link to build.NAME/, the launch directory of its build (runtime/shim); afterwards the build's
//                       log alone. A name of its own, for a supervisor that an agent sent out before it was killed may
//                       still be on its way to the directory of an earlier build
//   DIGEST/as-built     what the files looked like before the first job, where only this tells whether a job
//                       changed them
//   DIGEST/work/        the build's own directory, while it runs
//   DIGEST/recipe.json  what is being built, for the agent that finds the directory after a crash
//   DIGEST/uses         locked by those who lease it; its time of change is that of the last use
//   failed/             logs of builds that failed, the latest of each environment
//   doomed/             what is being removed
//   cache/              the tools' own downloads (downloads.hpp)
//
// Where users are told apart a DIGEST can be entered by nobody before it is ready, and then by those whom it is for.
//
// Thread-safe. Every call blocks on the file system. What is long in a record stays there: a lock, the packages.

#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "runtime/environment/built.hpp"
#include "runtime/environment/ready.hpp"

namespace berth::environment {

// One environment, for people and for the disk manager.
struct Entry {
  Digest digest;
  std::string kind;
  std::string words;
  std::uint64_t bytes = 0;
  Instant created{};
  Instant last_used{};
  bool leased = false;
  std::string python_version;
  std::string log;  // the build's log file
  std::string image;  // the engine's id; "" on the host
  std::set<std::string> below{};  // the images, by the engine's ids, that it is built upon
  std::optional<uid_t> owner{};  // whose alone it is
};

class Cache {
 public:
  // Makes the directory where it is missing.
  explicit Cache(std::string directory);

  std::string directory(const Digest& digest) const;
  std::string prefix(const Digest& digest) const;
  std::string launch_directory(const Digest& digest) const;
  // An empty one, of a name that was never used; once, before the build begins.
  void make_launch_directory(const Digest& digest) const;
  std::string work_directory(const Digest& digest) const;
  std::string recipe_file(const Digest& digest) const;
  std::string tools_cache() const;
  std::string tools_cache_of(uid_t person) const;
  // Only the build's, linkable into the prefix; part of made/, and so gone before that is made immutable.
  std::string own_tools_cache(const Digest& digest) const;
  // Where the log of a failed build is kept; replaced by the next failure of the same environment.
  std::string failed_log(const Digest& digest) const;

  // Nothing where it is not there, is being removed, or its interpreter is gone (an upgrade of the machine's
  // Python takes it from a venv).
  std::optional<Leased> lease(const Digest& digest);

  // Whether it is there, usable or not.
  bool is_published(const Digest& digest) const;
  // From here on it is there. The files need not be on disk yet: harden() sees to it.
  void publish(const Built& built);
  // Lets those in whom it is for: its owner, or all.
  void open_to(const Digest& digest, std::optional<uid_t> owner) const;
  // Removes what only its build needed: all but its files and the build's log.
  void tidy(const Digest& digest) const;
  // Whether its files are what they were when this was asked for the first time; then they are closed to writers. For
  // nodes that cannot keep jobs from changing them.
  bool is_as_built(const Digest& digest) const;
  // Waits for the disk; until then a power failure takes the environment back.
  void harden(const Digest& digest);

  std::vector<Entry> list();
  // Of all that list() or lease() have come across, without asking the disk.
  std::uint64_t bytes();
  // The whole record, JSON; Code::not_found.
  std::string show(const Digest& digest);
  // Code::not_found; Code::conflict while it is leased.
  void remove(const Digest& digest);

  // Removes what is there of it, ready or not. Code::conflict while it is leased.
  void clear(const Digest& digest);
  // At start, before all else: finishes what was cut off, and takes back what a power failure may have
  // damaged.
  void sweep();
  // Environments without a ready.json: being built, or left by a crash.
  std::vector<Digest> unfinished() const;
  // Those that are ready, but not sure to survive a power failure.
  std::vector<Digest> not_hardened();

 private:
  struct Known {
    Entry entry;  // but for what changes: when it was last used, and whether it is leased
    std::string only_in_boot;
    std::weak_ptr<Lease::Held> held;
  };

  std::string ready_file(const Digest& digest) const;
  std::string log_of(const Digest& digest) const;
  std::vector<Digest> all() const;
  std::optional<Built> read(const Digest& digest) const;
  const Known* find(const Digest& digest);
  void remember(const Built& built);
  bool can_be_read(const Digest& digest);
  Entry current(const Known& known) const;
  void set_aside(const Digest& digest);

  std::string directory_;
  std::mutex changing_;  // held by who writes or removes a ready.json; taken before `mutex_`
  std::mutex mutex_;  // guards `known_`; never held while the disk is waited for
  std::map<Digest, Known> known_;
};

}  // namespace berth::environment
