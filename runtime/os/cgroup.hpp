#pragma once

// Control groups, version 2 only: one directory per job, so that a job's whole tree can be counted and
// killed. A hybrid machine's `unified` mount counts; it has no controllers, but cgroup.kill works there.

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "runtime/os/fd.hpp"

namespace berth::os {

// A directory on a cgroup2 mount in which this process may make groups: `configured`, else below this
// process' own group, else the root of a cgroup2 mount. Nothing where there is none.
std::optional<std::string> find_cgroup_base(const std::string& configured);

// The group of a process in the version 2 hierarchy, "/a/b"; nothing for a process that is gone.
std::optional<std::string> group_of(pid_t process);
// Where that hierarchy's group is in the file system; nothing where it is not mounted, or has no such group.
std::optional<std::string> directory_of_group(const std::string& group);

// What a group's processes may use together. What is not set is not limited.
struct Limits {
  std::optional<std::uint64_t> memory;     // bytes, swap left out: none is used
  std::optional<std::uint32_t> cpu_milli;  // thousandths of a CPU, by quota
  std::optional<std::uint32_t> pids;       // processes and threads
  std::uint32_t cpu_weight = 100;          // 1 to 10,000: the share where CPUs are wanted by several groups
};

class Cgroup {
 public:
  // Makes the group `name` below `base` (and `base` itself when missing).
  static Cgroup make(const std::string& base, const std::string& name);
  static Cgroup make(const std::string& path);
  // An existing one; nothing where it is gone.
  static std::optional<Cgroup> open(const std::string& path);

  const std::string& path() const { return path_; }
  const Fd& directory() const { return directory_; }

  // Lets the groups below have the controllers memory, cpu, pids and io, as far as this one has them: which. Nothing
  // may run in this group itself, though below it.
  std::vector<std::string> enable_controllers() const;
  // As far as the group's controllers go. Running out of memory, its own or the machine's, kills the whole group at
  // once.
  void limit(const Limits& limits) const;

  void add(pid_t pid) const;
  // SIGKILL to every process in it and below, in one step of the kernel.
  void kill() const;
  // Whether any process is left in it or below.
  bool populated() const;
  // Every process in it and below, zombies left out.
  std::vector<pid_t> processes() const;
  // Microseconds of CPU used by all its processes, ended ones included; nothing where the kernel does not
  // say.
  struct Cpu {
    std::uint64_t total = 0;
    std::uint64_t user = 0;
    std::uint64_t system = 0;
  };
  std::optional<Cpu> cpu_micros() const;
  // The largest memory use in bytes; nothing without the memory controller.
  std::optional<std::uint64_t> peak_memory() const;
  // Bytes of memory in use at this moment, page cache included; nothing without the memory controller.
  std::optional<std::uint64_t> current_memory() const;
  // Nothing where there is none, or no memory controller.
  std::optional<std::uint64_t> memory_limit() const;
  // Bytes read from and written to block devices since it was made, each stacked device counted; nothing without
  // the io controller.
  struct Io {
    std::uint64_t read = 0;
    std::uint64_t written = 0;
  };
  std::optional<Io> io_bytes() const;
  // How many of its processes the kernel killed because the memory limit was reached.
  std::uint64_t out_of_memory_kills() const;
  // Removes the (empty) group and those below it; false while processes are left in one.
  bool remove() const;

 private:
  Cgroup(std::string path, Fd directory) : path_(std::move(path)), directory_(std::move(directory)) {}
  std::string path_;
  Fd directory_;
};

}  // namespace berth::os
