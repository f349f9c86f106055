#pragma once

// What this process does for a user: a program run with exactly the user's identity (uid, gid, supplementary groups, no
// capabilities, no new privileges), an environment and descriptors of its own, in a control group of its own with
// limits, until a deadline. Nothing of it outlives the errand, daemons that it made included. It is the only way in
// which anything of a user's is run or read outside of a job.

#include <atomic>
#include <chrono>
#include <optional>
#include <stop_token>
#include <string>

#include "runtime/os/cgroup.hpp"
#include "runtime/os/spawn.hpp"

namespace berth::async {

// Where errands run, and with what.
struct ErrandGround {
  std::string cgroup_base;  // a group of its own below it; "": none, then only its session and what it marked is ended
  os::Limits limits;
};

class Errand {
 public:
  // Makes the group and completes `program`. Starts nothing.
  Errand(const ErrandGround& ground, os::SpawnOptions program);
  // Ends all that is left of it, and its group.
  ~Errand();
  Errand(const Errand&) = delete;
  Errand& operator=(const Errand&) = delete;

  // Throws as os::spawn does. Once.
  const os::Child& start();
  // From any thread, at any time. All of it, at once.
  void kill() noexcept;
  // To its end: as run_tool_here does, in place of start(). Code::timeout; Cancelled where `stop` ended it.
  os::Finished run(std::chrono::seconds patience, const std::stop_token& stop, std::size_t limit = 16U << 20);

  // Whether the kernel ended any of it for want of memory.
  bool out_of_memory() const;

 private:
  void end_leftovers() noexcept;

  std::string mark_;  // in its environment
  os::SpawnOptions program_;
  std::optional<os::Cgroup> group_;
  std::optional<os::Child> child_;
  std::atomic<pid_t> session_ = 0;
};

// Groups of errands of a process that was killed.
void remove_left_errands(const std::string& cgroup_base) noexcept;

}  // namespace berth::async
