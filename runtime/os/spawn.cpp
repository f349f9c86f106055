#include "runtime/os/spawn.hpp"

#include <fcntl.h>
#include <linux/close_range.h>
#include <linux/sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "runtime/base/error.hpp"
#include "runtime/base/text.hpp"
#include "runtime/os/child.hpp"
#include "runtime/os/file.hpp"
#include "runtime/os/priority.hpp"

namespace berth::os {
namespace {

enum Step : int { kStepFiles, kStepIdentity, kStepDirectory, kStepExec };

struct Failure {
  int error_number;
  int step;
};

std::vector<char*> pointers(const std::vector<std::string>& strings) {
  std::vector<char*> out;
  out.reserve(strings.size() + 1);
  for (const auto& string : strings) out.push_back(const_cast<char*>(string.c_str()));
  out.push_back(nullptr);
  return out;
}

// Everything the child needs, made before the fork: between fork and exec only system calls are allowed.
struct ChildPlan {
  const SpawnOptions* options;
  char** arguments;
  char** environment;
  int failure_fd;
};

[[noreturn]] void fail(const ChildPlan& plan, Step step) {
  const Failure failure{errno, step};
  [[maybe_unused]] const auto written = ::write(plan.failure_fd, &failure, sizeof failure);
  ::_exit(127);
}

bool connect_standard_files(const SpawnOptions& options) {
  int null = -1;
  const std::array<int, 3> wanted{options.standard_input, options.standard_output, options.standard_error};
  std::array<int, 3> sources{};
  int also = -1;
  if (options.also >= 0 && (also = ::fcntl(options.also, F_DUPFD_CLOEXEC, 4)) < 0) return false;
  // Duplicate above 3 first, so that no source is overwritten before it is used.
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    if (wanted[i] < 0 && null < 0) null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
    sources[i] = ::fcntl(wanted[i] < 0 ? null : wanted[i], F_DUPFD_CLOEXEC, 4);
    if (sources[i] < 0) return false;
  }
  for (int i = 0; i < 3; ++i)
    if (::dup2(sources[static_cast<std::size_t>(i)], i) < 0) return false;
  // Ours are close-on-exec already; this is for what this process was started with. Linux 5.11 or newer.
  ::syscall(SYS_close_range, 3U, ~0U, CLOSE_RANGE_CLOEXEC);
  return also < 0 || ::dup2(also, 3) == 3;
}

constexpr rlim_t kOpenFiles = 4096;
constexpr int kErrandsNiceness = 5;

// Before the change of user: afterwards some of it is not allowed any more. What fails makes nothing unsafe but for the
// first.
bool be_for_user() {
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) return false;
  when_memory_runs_out(WithoutMemory::goes_first);
  const rlimit core{0, 0};
  ::setrlimit(RLIMIT_CORE, &core);
  rlimit files{};
  if (::getrlimit(RLIMIT_NOFILE, &files) == 0) {
    files.rlim_cur = files.rlim_max < kOpenFiles ? files.rlim_max : kOpenFiles;
    ::setrlimit(RLIMIT_NOFILE, &files);
  }
  be_nice(kErrandsNiceness);
  ::umask(022);
  return true;
}

[[noreturn]] void child(const ChildPlan& plan) {
  const auto& options = *plan.options;
  reset_signals();
  be_usual();
  if (options.new_session) ::setsid();
  if (!connect_standard_files(options)) fail(plan, kStepFiles);
  if (options.for_user && !be_for_user()) fail(plan, kStepIdentity);
  if (options.identity && !become(*options.identity)) fail(plan, kStepIdentity);
  if (!options.working_directory.empty() && ::chdir(options.working_directory.c_str()) < 0) fail(plan, kStepDirectory);
  ::execve(plan.arguments[0], plan.arguments, plan.environment);
  fail(plan, kStepExec);
}

[[noreturn]] void report(const Failure& failure, const SpawnOptions& options) {
  const auto program = printable(options.arguments.front());
  switch (failure.step) {
    case kStepDirectory:
      throw errno_error(failure.error_number, "enter directory", printable(options.working_directory));
    case kStepIdentity:
      throw errno_error(failure.error_number, "become user",
                        options.identity ? options.identity->name : std::string("without privileges"));
    default:
      throw errno_error(failure.error_number, "start", program);
  }
}

}  // namespace

namespace {

pid_t clone_into_cgroup(int cgroup) {
  clone_args arguments{};
  arguments.flags = CLONE_INTO_CGROUP;
  arguments.exit_signal = SIGCHLD;
  arguments.cgroup = static_cast<std::uint64_t>(cgroup);
  return static_cast<pid_t>(::syscall(SYS_clone3, &arguments, sizeof arguments));
}

// For what cannot be born there. Its word over `pipe` is 0, or the errno of the move.
pid_t fork_and_move(int cgroup, const Pipe& pipe) {
  const pid_t pid = ::fork();
  if (pid != 0) return pid;
  int failure = 0;
  const int procs = ::openat(cgroup, "cgroup.procs", O_WRONLY | O_CLOEXEC);
  if (procs < 0 || ::write(procs, "0", 1) != 1) failure = errno;
  ::close(procs);
  if (::write(pipe.write.get(), &failure, sizeof failure) != sizeof failure || failure != 0) ::_exit(127);
  return 0;
}

// What the child said of its birth; nothing where it died without a word.
std::optional<int> word_from(Pipe& pipe) {
  pipe.write.reset();
  int word = 0;
  const auto length = read_some(pipe.read, std::span(reinterpret_cast<char*>(&word), sizeof word));
  return length == sizeof word ? std::optional(word) : std::nullopt;
}

pid_t fork_moved_into(int cgroup) {
  auto pipe = make_pipe();
  const pid_t pid = fork_and_move(cgroup, pipe);
  if (pid <= 0) return pid;
  const auto word = word_from(pipe);
  if (word == 0) return pid;
  ::waitpid(pid, nullptr, 0);
  errno = word.value_or(ECHILD);
  return -1;
}

}  // namespace

// Linux 6.14 to at least 6.18 compare how often the child's group was killed (cgroup.kill) with how often its
// parent's was, not its own, and kill the child at birth where the two differ. Hence a word from the child.
pid_t fork_into_cgroup(int cgroup) {
  auto pipe = make_pipe();
  const pid_t pid = clone_into_cgroup(cgroup);
  if (pid == 0) {
    const int alive = 0;
    if (::write(pipe.write.get(), &alive, sizeof alive) != sizeof alive) ::_exit(127);
    ::close(pipe.read.release());
    ::close(pipe.write.release());
    return 0;
  }
  if (pid > 0) {
    if (word_from(pipe)) return pid;
    ::waitpid(pid, nullptr, 0);
    return fork_moved_into(cgroup);
  }
  // Kernels before 5.7, and containers whose filter hides clone3.
  const bool unknown = errno == ENOSYS || errno == EINVAL || errno == E2BIG || errno == EPERM;
  return unknown ? fork_moved_into(cgroup) : -1;
}

namespace {

// vfork() returns twice on one stack, and what the parent keeps in registers meanwhile need not survive the child:
// nothing but the plan is alive here.
[[gnu::noinline]] pid_t start_child(const ChildPlan& plan) {
  const int cgroup = plan.options->cgroup;
  const pid_t pid = cgroup >= 0 ? fork_into_cgroup(cgroup) : ::vfork();
  if (pid == 0) child(plan);
  return pid;
}

}  // namespace

Child spawn(const SpawnOptions& options) {
  auto arguments = pointers(options.arguments);
  auto environment = pointers(options.environment);
  auto failure = make_pipe();
  const ChildPlan plan{&options, arguments.data(), environment.data(), failure.write.get()};

  // No signal may reach a handler of ours in the child while it still runs our code.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  const pid_t pid = start_child(plan);
  const int fork_error = errno;
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (pid < 0) {
    auto error = errno_error(fork_error, "start", printable(options.arguments.front()));
    throw fork_error == EAGAIN ? error.for_lack_of(Lack::processes) : error;
  }

  failure.write.reset();
  Failure failed{};
  const auto length = read_some(failure.read, std::span(reinterpret_cast<char*>(&failed), sizeof failed));
  if (length == sizeof failed) {
    ::waitpid(pid, nullptr, 0);
    report(failed, options);
  }
  // The child cannot be reaped by anybody else before this returns, so its number is still its own.
  const auto id = process_id(pid);
  Fd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  if (!pidfd) throw_errno("watch", "a child process");
  return {id.value_or(ProcessId{pid, 0}), std::move(pidfd)};
}

std::optional<std::string> find_program(std::string_view path, std::string_view name) {
  while (!path.empty()) {
    const auto end = std::min(path.find(':'), path.size());
    const auto directory = path.substr(0, end);
    const auto program = join(directory, name);
    if (directory.starts_with('/') && ::access(program.c_str(), X_OK) == 0) return program;
    path.remove_prefix(std::min(end + 1, path.size()));
  }
  return std::nullopt;
}

}  // namespace berth::os
