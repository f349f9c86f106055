#include "runtime/shim/tree.hpp"

#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "runtime/base/error.hpp"
#include "runtime/os/file.hpp"

namespace berth::shim {
namespace {

constexpr std::uint64_t kBlock = 512;  // getrusage's unit of input and output

std::chrono::microseconds micros(const timeval& time) {
  return std::chrono::seconds(time.tv_sec) + std::chrono::microseconds(time.tv_usec);
}

os::Exit exit_of(int status) {
  if (WIFSIGNALED(status)) return {true, WTERMSIG(status)};
  return {false, WEXITSTATUS(status)};
}

// In a container the engine has made the group: this process' own, and the root of those that it sees.
std::optional<os::Cgroup> group_of_container() {
  if (::getpid() != 1 || os::group_of(1) != "/") return std::nullopt;
  const auto directory = os::directory_of_group("/");
  if (!directory || !os::exists(os::join(*directory, "memory.events"))) return std::nullopt;
  return os::Cgroup::open(*directory);
}

}  // namespace

Tree::Tree(const std::string& cgroup) {
  if (cgroup.empty()) return;
  try {
    group_ = os::Cgroup::make(cgroup);
  } catch (const Error&) {  // the agent reads in `started` that the job has none
  }
}

std::optional<os::Exit> Tree::reap(pid_t main) {
  std::optional<os::Exit> exit;
  for (;;) {
    int status = 0;
    const pid_t pid = ::waitpid(-1, &status, WNOHANG);
    if (pid < 0 && errno == EINTR) continue;
    has_children_ = pid == 0;
    if (pid <= 0) return exit;
    if (pid == main) exit = exit_of(status);
  }
}

bool Tree::empty() const { return !has_children_ && !(group_ && group_->populated()); }

void Tree::signal(int signal) const {
  const auto pids = group_ ? group_->processes() : os::descendants_of(::getpid());
  for (const auto pid : pids) {
    ::kill(pid, signal);
    ::kill(pid, SIGCONT);  // a stopped process does not see it before it goes on
  }
}

void Tree::kill() const {
  if (group_ && group_->populated()) {
    group_->kill();
    return;
  }
  // Without a group, or having left it: a privileged job can.
  for (const auto pid : os::descendants_of(::getpid())) ::kill(pid, SIGKILL);
}

void Tree::remove() const {
  if (!group_) return;
  try {
    group_->remove();
  } catch (const Error&) {  // an empty group does no harm, and the agent sweeps
  }
}

Tree::Use Tree::use() const {
  rusage usage{};
  ::getrusage(RUSAGE_CHILDREN, &usage);
  Use use;
  use.user = micros(usage.ru_utime);
  use.system = micros(usage.ru_stime);
  use.peak_memory = static_cast<std::uint64_t>(usage.ru_maxrss) * 1024;
  use.io_read = static_cast<std::uint64_t>(usage.ru_inblock) * kBlock;
  use.io_written = static_cast<std::uint64_t>(usage.ru_oublock) * kBlock;
  const auto containers = group_ ? std::nullopt : group_of_container();
  const auto* group = group_ ? &*group_ : containers ? &*containers : nullptr;
  if (group == nullptr) return use;
  if (const auto cpu = group->cpu_micros()) {
    use.user = std::max(use.user, std::chrono::microseconds(cpu->user));
    use.system = std::max(use.system, std::chrono::microseconds(cpu->system));
  }
  if (const auto io = group->io_bytes()) {
    use.io_read = io->read;
    use.io_written = io->written;
  }
  use.peak_memory = group->peak_memory().value_or(use.peak_memory);
  use.out_of_memory_kills = group->out_of_memory_kills();
  return use;
}

}  // namespace berth::shim
