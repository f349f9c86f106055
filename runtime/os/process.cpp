#include "runtime/os/process.hpp"

#include <dirent.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstdlib>

#include "runtime/base/error.hpp"
#include "runtime/os/file.hpp"

namespace berth::os {
namespace {

struct Stat {
  pid_t parent = 0;
  std::uint64_t start_ticks = 0;
};

// Of /proc/PID/stat: fields 4 and 22 (proc(5)). The name in field 2 may hold spaces and parentheses.
std::optional<Stat> read_stat(pid_t pid) {
  std::optional<std::string> text;
  try {
    text = read_file_if_exists("/proc/" + std::to_string(pid) + "/stat");
  } catch (const Error&) {  // ESRCH: it ended between open and read
    return std::nullopt;
  }
  if (!text) return std::nullopt;
  const auto name_end = text->rfind(')');
  if (name_end == std::string::npos) return std::nullopt;
  Stat stat;
  std::size_t at = name_end + 2;
  for (int field = 3; field <= 22; ++field) {
    const auto end = std::min(text->find(' ', at), text->size());
    if (field == 4) std::from_chars(text->data() + at, text->data() + end, stat.parent);
    if (field == 22) std::from_chars(text->data() + at, text->data() + end, stat.start_ticks);
    at = end + 1;
    if (at > text->size()) return std::nullopt;
  }
  return stat;
}

std::vector<pid_t> all_processes() {
  std::vector<pid_t> pids;
  DIR* entries = ::opendir("/proc");
  if (entries == nullptr) return pids;
  while (const dirent* entry = ::readdir(entries)) {
    const std::string_view name(entry->d_name);
    pid_t pid = 0;
    const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), pid);
    if (error == std::errc() && end == name.data() + name.size()) pids.push_back(pid);
  }
  ::closedir(entries);
  return pids;
}

constexpr std::array<std::pair<const char*, int>, 14> kSignals{{{"SIGHUP", SIGHUP},
                                                                {"SIGINT", SIGINT},
                                                                {"SIGQUIT", SIGQUIT},
                                                                {"SIGILL", SIGILL},
                                                                {"SIGABRT", SIGABRT},
                                                                {"SIGBUS", SIGBUS},
                                                                {"SIGFPE", SIGFPE},
                                                                {"SIGKILL", SIGKILL},
                                                                {"SIGUSR1", SIGUSR1},
                                                                {"SIGSEGV", SIGSEGV},
                                                                {"SIGUSR2", SIGUSR2},
                                                                {"SIGPIPE", SIGPIPE},
                                                                {"SIGTERM", SIGTERM},
                                                                {"SIGXCPU", SIGXCPU}}};

}  // namespace

std::optional<ProcessId> process_id(pid_t pid) {
  const auto stat = read_stat(pid);
  if (!stat) return std::nullopt;
  return ProcessId{pid, stat->start_ticks};
}

std::optional<Fd> open_pidfd(const ProcessId& process) {
  Fd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, process.pid, 0)));
  if (!pidfd) {
    if (errno == ESRCH || errno == EINVAL) return std::nullopt;
    throw_errno("watch process", std::to_string(process.pid));
  }
  // The number may have been reused before it was opened, but not since.
  if (process_id(process.pid) != process) return std::nullopt;
  return pidfd;
}

bool has_ended(const Fd& pidfd) {
  pollfd ask{pidfd.get(), POLLIN, 0};
  return ::poll(&ask, 1, 0) > 0;
}

bool send_signal(const Fd& pidfd, int signal) {
  return ::syscall(SYS_pidfd_send_signal, pidfd.get(), signal, nullptr, 0) == 0;
}

Exit reap(const Fd& pidfd) {
  siginfo_t info{};
  int result = ::waitid(P_PIDFD, static_cast<id_t>(pidfd.get()), &info, WEXITED);
  while (result < 0 && errno == EINTR) result = ::waitid(P_PIDFD, static_cast<id_t>(pidfd.get()), &info, WEXITED);
  if (result < 0) throw_errno("wait for", "a child process");
  return {info.si_code != CLD_EXITED, info.si_status};
}

std::string boot_id() {
  if (const char* injected = std::getenv("BERTH_BOOT_ID"); injected != nullptr && *injected != '\0') return injected;
  auto id = read_file("/proc/sys/kernel/random/boot_id");
  while (!id.empty() && id.back() == '\n') id.pop_back();
  return id;
}

std::vector<pid_t> descendants_of(pid_t ancestor) { return ProcessTree().descendants_of(ancestor); }

ProcessTree::ProcessTree() {
  for (const auto pid : all_processes())
    if (const auto stat = read_stat(pid)) children_.emplace(stat->parent, pid);
}

std::vector<pid_t> ProcessTree::descendants_of(pid_t ancestor) const {
  std::vector<pid_t> found{ancestor};
  for (std::size_t i = 0; i < found.size(); ++i) {
    const auto [first, last] = children_.equal_range(found[i]);
    for (auto child = first; child != last; ++child) found.push_back(child->second);
  }
  found.erase(found.begin());
  return found;
}

std::vector<pid_t> processes_with_environment(const std::string& name_and_value) {
  std::vector<pid_t> found;
  for (const auto pid : all_processes()) {
    std::string environment(1, '\0');
    try {
      environment += read_file("/proc/" + std::to_string(pid) + "/environ", 8U << 20);
    } catch (const Error&) {
      continue;  // it ended, or belongs to somebody else
    }
    environment += '\0';
    const std::string wanted = '\0' + name_and_value + '\0';
    if (environment.find(wanted) != std::string::npos) found.push_back(pid);
  }
  return found;
}

std::optional<int> parse_signal(const std::string& text) {
  int number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error == std::errc() && end == text.data() + text.size())
    return number > 0 && number < SIGRTMAX ? std::optional(number) : std::nullopt;
  for (const auto& [name, signal] : kSignals)
    if (text == name || "SIG" + text == name) return signal;
  return std::nullopt;
}

std::string signal_name(int signal) {
  for (const auto& [name, number] : kSignals)
    if (number == signal) return name;
  return "signal " + std::to_string(signal);
}

}  // namespace berth::os
