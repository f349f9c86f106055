#pragma once

// Other processes: who they are beyond a number that the kernel will reuse, and how to signal just them.

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "runtime/os/fd.hpp"

namespace berth::os {

// A pid and the time it started (clock ticks since boot): together never reused within one boot.
struct ProcessId {
  pid_t pid = 0;
  std::uint64_t start_ticks = 0;
  friend bool operator==(const ProcessId&, const ProcessId&) = default;
};

// Nothing where no such process is; a zombie counts as one.
std::optional<ProcessId> process_id(pid_t pid);
// A descriptor that is readable once the process has ended; nothing when it is gone or its number was reused.
std::optional<Fd> open_pidfd(const ProcessId& process);
// The process of a pidfd, zombie or not.
bool has_ended(const Fd& pidfd);
// False when it is gone.
bool send_signal(const Fd& pidfd, int signal);

// How a child ended. Reaps it; call only when the pidfd is readable.
struct Exit {
  bool signalled = false;
  int status = 0;  // exit code, or the signal's number
};
Exit reap(const Fd& pidfd);

// "/proc/sys/kernel/random/boot_id"; BERTH_BOOT_ID overrides it, so that a test can reboot.
std::string boot_id();

// All processes whose ancestors include `ancestor`.
std::vector<pid_t> descendants_of(pid_t ancestor);
// The processes of one moment and their parents, for asking after several ancestors with one look at /proc.
class ProcessTree {
 public:
  ProcessTree();
  std::vector<pid_t> descendants_of(pid_t ancestor) const;

 private:
  std::multimap<pid_t, pid_t> children_;  // by their parents
};
// All processes that were started with NAME=VALUE in their environment, as far as this process may look.
std::vector<pid_t> processes_with_environment(const std::string& name_and_value);

// "SIGTERM" or "TERM" or "15".
std::optional<int> parse_signal(const std::string& text);
std::string signal_name(int signal);

}  // namespace berth::os
