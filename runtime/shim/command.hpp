#pragma once

// The process that becomes the job's command. It is born in the job's control group, prepares itself as the
// job's user, says that it is ready, and waits to be let go, so that `started` is on disk before exec and not
// after.

#include <sys/types.h>

#include <optional>
#include <string>
#include <variant>

#include "runtime/os/cgroup.hpp"
#include "runtime/os/fd.hpp"
#include "runtime/shim/contract.hpp"

namespace berth::shim {

class Command {
 public:
  // Forks. `log` becomes its standard output and error. Without a group it dies with this process.
  static Command start(const Launch& launch, const std::string& directory, const os::Fd& log, const os::Cgroup* group);

  pid_t pid() const { return pid_; }

  // Readable when there is something for progress() to tell; closed for good after Executed.
  const os::Fd& status() const { return status_; }
  struct Ready {};     // it waits for let_go()
  struct Executed {};  // it became the command, or died trying; waiting for it tells which
  using Progress = std::variant<Ready, Executed, NotStarted>;
  Progress progress();
  void let_go();

 private:
  Command(pid_t pid, os::Fd status, os::Fd go) : pid_(pid), status_(std::move(status)), go_(std::move(go)) {}
  pid_t pid_;
  os::Fd status_;
  os::Fd go_;
};

}  // namespace berth::shim
