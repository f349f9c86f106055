#include "agent/cli/connection.hpp"

#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <optional>
#include <thread>

#include "agent/cli/settings.hpp"
#include "runtime/os/file.hpp"

namespace berth::cli {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

// Of an agent that is there. It takes back its jobs first.
constexpr std::chrono::seconds kPatience{10};
constexpr milliseconds kPause{10};
// A shell has just been told to start one, and it may not be a berthd yet.
constexpr milliseconds kGlance{50};
constexpr std::size_t kLongestArguments = 64U << 10;

// Those of a process of that name which this user's command line may mean: his own, or root's. Empty for all others.
std::vector<std::string> arguments_of_agent(const std::string& process) {
  struct stat info {};
  if (::stat(process.c_str(), &info) != 0 || (info.st_uid != ::geteuid() && info.st_uid != 0)) return {};
  std::vector<std::string> arguments;
  try {
    if (os::read_file(process + "/comm", 64) != "berthd\n") return {};
    const auto line = os::read_file(process + "/cmdline", kLongestArguments);
    for (std::size_t at = 0; at < line.size();) {
      const auto end = std::min(line.find('\0', at), line.size());
      arguments.push_back(line.substr(at, end - at));
      at = end + 1;
    }
  } catch (const Error&) {  // it has ended
    return {};
  }
  return arguments;
}

bool agent_runs_for(const std::string& socket) {
  const std::unique_ptr<DIR, int (*)(DIR*)> processes(::opendir("/proc"), ::closedir);
  while (const auto* entry = processes ? ::readdir(processes.get()) : nullptr) {
    if (entry->d_name[0] < '0' || entry->d_name[0] > '9') continue;
    const auto process = std::string("/proc/") + entry->d_name;
    const auto arguments = arguments_of_agent(process);
    if (arguments.empty()) continue;
    std::error_code unknown;
    const auto directory = std::filesystem::read_symlink(process + "/cwd", unknown).string();
    if (socket_of_agent(arguments, directory) == socket) return true;
  }
  return false;
}

}  // namespace

std::string socket_of_agent(const std::vector<std::string>& arguments, const std::string& directory) {
  constexpr std::string_view kState = "--state";
  std::optional<std::string> state;
  for (std::size_t at = 1; at < arguments.size(); ++at) {
    if (arguments[at] == kState && at + 1 < arguments.size()) state = arguments[at + 1];
    if (arguments[at].starts_with("--state=")) state = arguments[at].substr(kState.size() + 1);
  }
  if (std::find(arguments.begin(), arguments.end(), "--user") == arguments.end()) return kMachineSocket;
  if (!state) return own_socket();
  return (std::filesystem::path(directory) / *state / "berth.sock").lexically_normal();
}

http::Connect connection_to(std::string socket, const http::Client::Options& options) {
  return [socket = std::move(socket), options] {
    const auto began = steady_clock::now();
    const auto patience = std::min<steady_clock::duration>(kPatience, options.patience.value_or(kPatience));
    for (;;) {
      try {
        return http::connect_unix(socket, options.server_name, options.absent_hint, options.patience);
      } catch (const Error& error) {
        if (error.code() != Code::unavailable) throw;
        const auto waited = steady_clock::now() - began;
        if (waited > patience || (waited > kGlance && !agent_runs_for(socket))) throw;
      }
      std::this_thread::sleep_for(kPause);
    }
  };
}

}  // namespace berth::cli
