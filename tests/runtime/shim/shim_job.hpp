#pragma once

// One launch with a real shim: its directory, its process, and waiting with a limit for what it does.

#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <functional>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "runtime/base/error.hpp"
#include "runtime/os/cgroup.hpp"
#include "runtime/os/file.hpp"
#include "runtime/shim/client.hpp"
#include "runtime/shim/contract.hpp"

namespace berth::shim::test {

inline constexpr std::chrono::seconds kPatience{30};

// Until it is true; throws when that takes too long, telling what was waited for.
inline void wait_until(const std::string& what, const std::function<bool()>& condition) {
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) throw std::runtime_error("waited in vain until " + what);
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
}

inline bool is_root() { return ::geteuid() == 0; }
inline const std::optional<std::string>& cgroup_base() {
  static const auto base = os::find_cgroup_base({});
  return base;
}
inline constexpr const char* kGroups = "a writable cgroup2 directory";

inline bool alive(pid_t pid) {
  const auto stat = os::read_file_if_exists("/proc/" + std::to_string(pid) + "/status");
  return stat && stat->find("State:\tZ") == std::string::npos;
}

class ShimJob {
 public:
  explicit ShimJob(std::vector<std::string> command, const std::string& below = {}) : scratch_("shim-test", below) {
    directory = scratch_ / "launch";
    launch.job_id = "job-1";
    launch.command = std::move(command);
    launch.environment = {"PATH=/usr/bin:/bin"};
    launch.working_directory = "/";
  }
  ~ShimJob() {
    if (shim) {
      os::send_signal(shim->pidfd, SIGKILL);
      reap();
    }
    try {
      kill_leftovers(directory);
    } catch (const Error&) {
    }
    if (group_base_) {
      os::Cgroup::open(*group_base_)->kill();
      wait_until("the group is gone", [&] { return os::Cgroup::open(*group_base_)->remove(); });
    }
  }

  // In a control group of its own, below one that goes with this object.
  void use_cgroup() {
    group_base_ = os::join(*cgroup_base(), "berth-test-" + std::to_string(::getpid()));
    launch.cgroup = os::join(*group_base_, "job-1");
  }

  void start() { shim = berth::shim::launch(BERTH_SHIM, directory, launch); }

  Ended end() {
    await_shim();
    return ended_from_text(os::read_file(file(kEndingFile)));
  }
  Ended run() {
    start();
    return end();
  }
  // The shim is gone, whatever it did.
  os::Exit await_shim() {
    pollfd poll{shim->pidfd.get(), POLLIN, 0};
    if (::poll(&poll, 1, std::chrono::milliseconds(kPatience).count()) != 1)
      throw std::runtime_error("the shim does not end");
    return reap();
  }
  os::Exit reap() {
    const auto exit = os::reap(shim->pidfd);
    shim.reset();
    return exit;
  }

  std::string file(const std::string& name) const { return os::join(directory, name); }
  std::string scratch(const std::string& name) const { return scratch_ / name; }
  std::string log() const { return os::read_file_if_exists(file(kLogFile)).value_or(""); }
  void await_log(const std::string& text) {
    wait_until("the log holds " + text, [&] { return log().find(text) != std::string::npos; });
  }
  Started await_started() {
    wait_until("it has started", [&] { return os::exists(file(kStartedFile)); });
    return started_from_text(os::read_file(file(kStartedFile)));
  }

  std::string directory;
  Launch launch;
  std::optional<os::Child> shim;

 private:
  os::TempDir scratch_;
  std::optional<std::string> group_base_;
};

inline std::string program(const std::string& name) { return std::string(BERTH_TEST_PROGRAMS) + "/" + name; }

inline std::vector<std::string> shell(const std::string& script) { return {"sh", "-c", script}; }

}  // namespace berth::shim::test
