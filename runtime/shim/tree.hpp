#pragma once

// All processes of one job: those in its control group, and this process' descendants, which as a subreaper
// it keeps even when they fork twice and take a session of their own. Without a group the descendants alone
// count.

#include <sys/types.h>

#include <chrono>
#include <optional>
#include <string>

#include "runtime/os/cgroup.hpp"
#include "runtime/os/process.hpp"

namespace berth::shim {

class Tree {
 public:
  // Makes the group; goes without where that is not possible, or where `cgroup` is empty.
  explicit Tree(const std::string& cgroup);

  const os::Cgroup* group() const { return group_ ? &*group_ : nullptr; }

  // Reaps every child that has ended; how `main` did, when it was among them.
  std::optional<os::Exit> reap(pid_t main);
  // Whether every process is gone, as of the last reap.
  bool empty() const;
  void signal(int signal) const;
  // SIGKILL to all. Processes may be forked while descendants are counted: call it again until empty().
  void kill() const;
  // Removes the group; once it is empty.
  void remove() const;

  struct Use {
    std::chrono::microseconds user{};
    std::chrono::microseconds system{};
    std::uint64_t peak_memory = 0;
    std::uint64_t io_read = 0;
    std::uint64_t io_written = 0;
    std::uint64_t out_of_memory_kills = 0;
  };
  // Of all its processes. Without a group only those count whose parents waited for them.
  Use use() const;

 private:
  std::optional<os::Cgroup> group_;
  bool has_children_ = false;
};

}  // namespace berth::shim
