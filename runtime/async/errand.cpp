#include "runtime/async/errand.hpp"

#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <filesystem>

#include "runtime/async/tool.hpp"
#include "runtime/base/error.hpp"
#include "runtime/os/file.hpp"

namespace berth::async {
namespace {

constexpr const char* kGroupName = "errand-";
constexpr const char* kMark = "BERTH_ERRAND=";
constexpr int kGonePauseMs = 5;
constexpr int kGoneLooks = 400;  // what cannot die within two seconds is left to the next process of ours

// What this process' errands begin with, and those of no other one before it.
std::string own_name() {
  const auto self = os::process_id(::getpid());
  return std::to_string(::getpid()) + "." + std::to_string(self ? self->start_ticks : 0) + "-";
}

std::string fresh_name() {
  static std::atomic<std::uint64_t> errands = 0;
  return own_name() + std::to_string(++errands);
}

// Moments after the kill. False where something hangs in the kernel.
bool remove_group(const os::Cgroup& group) noexcept {
  for (int look = 0; look < kGoneLooks; ++look) {
    try {
      if (group.remove()) return true;
      group.kill();
    } catch (const Error&) {
      return false;
    }
    ::poll(nullptr, 0, kGonePauseMs);
  }
  return false;
}

}  // namespace

Errand::Errand(const ErrandGround& ground, os::SpawnOptions program) : program_(std::move(program)) {
  const auto name = fresh_name();
  mark_ = kMark + name;
  program_.environment.push_back(mark_);
  program_.new_session = true;
  program_.for_user = true;
  if (ground.cgroup_base.empty()) return;
  try {
    group_ = os::Cgroup::make(ground.cgroup_base, kGroupName + name);
    group_->limit(ground.limits);
  } catch (const Error&) {  // somebody took the base away; it is made again before the next job
    group_.reset();
    return;
  }
  program_.cgroup = group_->directory().get();
}

Errand::~Errand() {
  kill();
  if (child_) {
    try {
      os::reap(child_->pidfd);
    } catch (const Error&) {  // it was waited for already
    }
  }
  end_leftovers();
}

const os::Child& Errand::start() {
  child_ = os::spawn(program_);
  session_ = child_->id.pid;
  return *child_;
}

void Errand::kill() noexcept {
  try {
    if (group_) return group_->kill();
  } catch (const Error&) {  // before Linux 5.14 there is no such file
  }
  // While any of it lives the number is still its own.
  if (const pid_t session = session_; session > 0) ::kill(-session, SIGKILL);
  if (child_) os::send_signal(child_->pidfd, SIGKILL);
}

// Daemons that left its session. Those in its group cannot.
void Errand::end_leftovers() noexcept {
  if (group_ && remove_group(*group_)) return;
  if (session_ == 0) return;
  for (const auto pid : os::processes_with_environment(mark_)) ::kill(pid, SIGKILL);
}

os::Finished Errand::run(std::chrono::seconds patience, const std::stop_token& stop, std::size_t limit) {
  std::optional<std::stop_callback<std::function<void()>>> when_stopped;
  const auto started = [&](pid_t program) {
    session_ = program;
    when_stopped.emplace(stop, [this] { kill(); });
  };
  auto finished = run_tool_here(program_, {patience, limit}, started);
  when_stopped.reset();
  if (stop.stop_requested()) throw Cancelled();
  return finished;
}

bool Errand::out_of_memory() const { return group_ && group_->out_of_memory_kills() > 0; }

void remove_left_errands(const std::string& cgroup_base) noexcept {
  if (cgroup_base.empty()) return;
  std::error_code absent;
  for (const auto& entry : std::filesystem::directory_iterator(cgroup_base, absent)) {
    const auto name = entry.path().filename().string();
    if (!name.starts_with(kGroupName) || name.starts_with(kGroupName + own_name())) continue;
    const auto group = os::Cgroup::open(entry.path().string());
    if (!group) continue;
    try {
      group->kill();
    } catch (const Error&) {
    }
    remove_group(*group);
  }
}

}  // namespace berth::async
