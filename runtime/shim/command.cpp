#include "runtime/shim/command.hpp"

#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <vector>

#include "runtime/base/error.hpp"
#include "runtime/base/text.hpp"
#include "runtime/os/child.hpp"
#include "runtime/os/file.hpp"
#include "runtime/os/mount.hpp"
#include "runtime/os/priority.hpp"
#include "runtime/os/sandbox.hpp"
#include "runtime/os/spawn.hpp"
#include "runtime/shim/apart.hpp"
#include "runtime/shim/lookup.hpp"
#include "runtime/shim/protection.hpp"
#include "runtime/shim/seal.hpp"

namespace berth::shim {
namespace {

// Over the status pipe: one byte kReady, or one exit code and the reason; its end means exec or death.
constexpr rlim_t kOpenFiles = 65'536;  // data loaders with many workers need thousands
constexpr char kReady = '\0';
constexpr std::size_t kLongestReason = 4000;  // with its exit code within PIPE_BUF: written in one piece

// What the child is made from. It is single-threaded and has memory of its own, so it may do anything.
struct Plan {
  const Launch& launch;
  const std::string& directory;
  int log;
  int status;
  int go;
  bool dies_with_shim;
  const os::Fd& environment_owner;
};

NotStarted failure(const std::string& what) { return {126, "cannot " + what + ": " + std::strerror(errno)}; }

[[noreturn]] void report(const Plan& plan, const NotStarted& reason) {
  const auto message = static_cast<char>(reason.exit_code) + reason.reason.substr(0, kLongestReason);
  [[maybe_unused]] const auto written = ::write(plan.status, message.data(), message.size());
  ::_exit(127);
}

void connect_standard_files(const Plan& plan) {
  const int null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  if (null < 0) report(plan, failure("open /dev/null"));
  if (::dup2(null, 0) < 0 || ::dup2(plan.log, 1) < 0 || ::dup2(plan.log, 2) < 0)
    report(plan, failure("connect the log"));
  ::close_range(3, ~0U, CLOSE_RANGE_CLOEXEC);
}

void become(const Plan& plan, const os::Identity& identity) {
  if (::geteuid() != 0 && identity.uid == ::geteuid()) return;
  if (!os::become(identity))
    report(plan, failure("become user " + printable(identity.name) + " (" + std::to_string(identity.uid) + ")"));
}

void hand_over(const Plan& plan, const std::string& directory) {
  const auto& identity = plan.launch.identity;
  if (identity && ::lchown(directory.c_str(), identity->uid, identity->gid) < 0)
    report(plan, failure("give the user the directory " + printable(directory)));
}

// The file system in memory takes whole pages, and some for itself.
std::uint64_t size_of(const std::map<std::string, std::string>& files) {
  constexpr std::uint64_t kPage = 64U << 10;  // of the largest there are
  std::uint64_t size = 4 * kPage;
  for (const auto& [name, content] : files) size += (content.size() / kPage + 2) * kPage;
  return size;
}

// Without the right to mount they are in the directory itself, which is the user's alone.
bool mount_for_secrets(const Launch& launch, uid_t uid, gid_t gid, bool has_own_mounts) {
  if (launch.secret_place->mounted) return false;
  try {
    if (!has_own_mounts) os::enter_private_mounts();
    os::mount_tmpfs(launch.secret_place->directory, size_of(launch.secrets.files), uid, gid);
    return true;
  } catch (const Error&) {
    return false;
  }
}

void give_secrets(const Plan& plan, bool has_own_mounts) {
  const auto& launch = plan.launch;
  if (!launch.secret_place || launch.secrets.files.empty()) return;
  const auto uid = launch.identity ? launch.identity->uid : ::geteuid();
  const auto gid = launch.identity ? launch.identity->gid : ::getegid();
  const auto& directory = launch.secret_place->directory;
  const bool mounted = mount_for_secrets(launch, uid, gid, has_own_mounts);
  for (const auto& [name, content] : launch.secrets.files) {
    const auto file = os::open(os::join(directory, name), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0400);
    os::write_all(file, content);
    if (::fchown(file.get(), uid, gid) < 0) report(plan, failure("give the user its secrets"));
  }
  if (mounted) os::make_read_only(directory);
}

void mount_tmp(const Launch& launch) {
  const auto uid = launch.identity ? launch.identity->uid : ::geteuid();
  const auto gid = launch.identity ? launch.identity->gid : ::getegid();
  os::mount_tmpfs(launch.tmp->path, launch.tmp->size.bytes(), uid, gid);
}

// What a service's processes inherit is not for jobs: protection from the out-of-memory killer, which only root may
// have, and many more descriptors than programs that close all of them can bear.
void set_process_limits(const Plan& plan) {
  os::when_memory_runs_out(plan.launch.goes_first ? os::WithoutMemory::goes_first : os::WithoutMemory::as_any);
  if (plan.launch.nice > 0) os::be_nice(plan.launch.nice);
  rlimit files{};
  if (::getrlimit(RLIMIT_NOFILE, &files) == 0) {
    files.rlim_cur = std::min(files.rlim_max, kOpenFiles);
    ::setrlimit(RLIMIT_NOFILE, &files);
  }
  rlimit core{0, 0};
  if (plan.launch.core_dumps && ::getrlimit(RLIMIT_CORE, &core) == 0) core.rlim_cur = core.rlim_max;
  if (::setrlimit(RLIMIT_CORE, &core) < 0) report(plan, failure("set the limit of core dumps"));
}

// The log and the pipes go along; this process waits for the one that becomes the command.
void enter_sandbox(const Plan& plan) {
  if (plan.dies_with_shim) ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  os::enter_sandbox(*plan.launch.sandbox, plan.launch.identity);
}

void prepare(const Plan& plan) {
  const auto& launch = plan.launch;
  ::setsid();
  const bool mounted_already = launch.overlay && launch.overlay->lower.empty();
  const bool has_own_mounts =
      (launch.overlay && !mounted_already) || launch.tmp || !launch.network || launch.protection;
  if (has_own_mounts) os::enter_private_mounts(launch.network ? os::Network::shared : os::Network::none);
  if (mounted_already) hand_over(plan, launch.overlay->target);
  if (launch.overlay && !mounted_already) os::mount_overlay(*launch.overlay);
  if (launch.tmp) mount_tmp(launch);
  give_secrets(plan, has_own_mounts);
  if (launch.protection) mount_protection(*launch.protection, plan.environment_owner);
  set_process_limits(plan);
  if (launch.sandbox) enter_sandbox(plan);
  connect_standard_files(plan);
  const bool apart = acts_apart();
  if (launch.identity) become(plan, *launch.identity);
  // Root in a container would be the owner of too much, were it root for its supervisor's files as well.
  if (apart && !drop_capabilities()) report(plan, failure("give up capabilities"));
  // After the change of user, which clears it. That the shim is alive still is seen by waiting for its word.
  if (plan.dies_with_shim || launch.sandbox) ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) report(plan, failure("give up new privileges"));
  ::umask(022);
  if (!launch.working_directory.empty() && ::chdir(launch.working_directory.c_str()) < 0)
    report(plan, explain_directory_failure(launch.working_directory, errno));
}

std::vector<std::string> environment_of(const Plan& plan) {
  const auto mark = std::string(kLaunchVariable) + "=";
  std::vector<std::string> environment;
  for (const auto& entry : plan.launch.environment)
    if (!entry.starts_with(mark)) environment.push_back(entry);
  environment.push_back(mark + plan.directory);
  return environment;
}

std::vector<char*> pointers(std::vector<std::string>& strings) {
  std::vector<char*> out;
  for (auto& string : strings) out.push_back(string.data());
  out.push_back(nullptr);
  return out;
}

void wait_for_word(const Plan& plan) {
  if (::write(plan.status, &kReady, 1) != 1) ::_exit(127);
  char word = 0;
  ssize_t length = 0;
  while ((length = ::read(plan.go, &word, 1)) < 0 && errno == EINTR) continue;
  if (length != 1) ::_exit(127);  // the shim died: this was never started
}

[[noreturn]] void child(const Plan& plan) {
  forget_key();
  os::reset_signals();
  try {
    prepare(plan);
    auto environment = environment_of(plan);
    auto command = plan.launch.command;
    const auto found = find_program(command.front(), environment);
    if (const auto* reason = std::get_if<NotStarted>(&found)) report(plan, *reason);
    const auto& path = std::get<std::string>(found);
    const auto arguments = pointers(command);
    const auto variables = pointers(environment);
    wait_for_word(plan);
    ::execve(path.c_str(), arguments.data(), variables.data());
    report(plan, explain_exec_failure(command.front(), path, errno));
  } catch (const Error& error) {
    report(plan, {126, error.describe()});
  } catch (...) {
    report(plan, {126, "the job's process ran out of memory before it could start"});
  }
}

}  // namespace

Command Command::start(const Launch& launch, const std::string& directory, const os::Fd& log, const os::Cgroup* group) {
  const auto environment_owner = owner_of_environment(launch);
  auto status = os::make_pipe();
  auto go = os::make_pipe();
  const Plan plan{launch, directory, log.get(), status.write.get(), go.read.get(), group == nullptr, environment_owner};
  const pid_t pid = group ? os::fork_into_cgroup(group->directory().get()) : ::fork();
  if (pid < 0) throw_errno("start", "the job's process");
  if (pid == 0) {
    go.write.reset();
    child(plan);
  }
  return Command(pid, std::move(status.read), std::move(go.write));
}

Command::Progress Command::progress() {
  std::array<char, kLongestReason + 1> buffer;
  const auto length = os::read_some(status_, buffer);
  if (length == 1 && buffer[0] == kReady) return Ready{};
  status_.reset();
  go_.reset();
  if (length == 0) return Executed{};
  return NotStarted{static_cast<unsigned char>(buffer[0]), std::string(buffer.data() + 1, length - 1)};
}

void Command::let_go() {
  [[maybe_unused]] const auto written = ::write(go_.get(), "g", 1);
  go_.reset();
}

}  // namespace berth::shim
