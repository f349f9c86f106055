#pragma once

// The agent's side of the contract: launch a shim, look at what became of a launch, ask it to stop. All calls
// are short and blocking; waiting for the end is left to the caller, who gets descriptors to wait on.

#include <optional>
#include <string>
#include <variant>

#include "runtime/os/inotify.hpp"
#include "runtime/os/spawn.hpp"
#include "runtime/shim/contract.hpp"
#include "runtime/shim/seal.hpp"

namespace berth::shim {

// Makes the directory when missing, writes launch.json and starts the shim, detached: it lives on when this
// process dies, but is this process' child while it lives, and must be reaped (os::reap) once its pidfd is
// readable. It is born in the control group "shims" beside launch.cgroup. A directory serves one launch,
// ever.
os::Child launch(const std::string& shim_program, const std::string& directory, const Launch& launch);

// The part of it that only writes: for a supervisor that somebody else starts, such as a container engine.
void write_launch(const std::string& directory, const Launch& launch);

// A supervisor that is not this process' child.
struct Supervisor {
  pid_t pid = 0;
  os::Fd pidfd;     // readable when it has ended
  std::string key{};  // that it seals its ending with; "" where it does not
};

// How a supervisor is told what to run.
enum class Handover {
  files,   // launch.json: whoever finds the directory can read what the launch was
  memory,  // nowhere on disk; for a caller that keeps the boot id and the group itself
};

// The same with supervisors that a process of their own (server.hpp) has in readiness: it takes the start of a program
// and a fork of this process off a job's way, and needs no reaping. That process and its idle supervisors end with this
// process.
class Launcher {
 public:
  explicit Launcher(std::string shim_program) : shim_program_(std::move(shim_program)) {}
  Launcher(const Launcher&) = delete;
  Launcher& operator=(const Launcher&) = delete;
  ~Launcher();

  // `key`: of the launch (seal.hpp).
  Supervisor launch(const std::string& directory, const Launch& launch, Handover how, const std::string& key = {});
  // Has supervisors ready for jobs whose control group is beside `cgroup`. Failing costs only time.
  void prepare(const std::string& cgroup) noexcept;

 private:
  struct Server {
    os::Child child;
    os::Fd socket;
    std::string cgroup_parent;
  };
  void start_server(const std::string& cgroup);
  bool send(const std::string& request, const os::Fd& launch) const;
  // Nothing when no supervisor answers.
  std::optional<Supervisor> receive(const std::string& key) const;
  void drop_server();

  std::string shim_program_;
  std::optional<Server> server_;
};

// What a launch directory tells, after any crash.
struct NeverRan {};  // no shim runs and the command was never started: revoked, so that it never will be
struct Running {
  std::optional<Started> started;  // nothing: claimed, about to start
  std::optional<os::Fd> shim;  // its pidfd, readable when it has ended; nothing while not `started`
};
struct Over {
  Ended ended;
};
struct Lost {  // it was started, nobody supervises it, and no ending was written
  std::optional<Started> started;  // nothing only after a reboot, which may have taken the file
  bool rebooted = false;
};
using Condition = std::variant<NeverRan, Running, Over, Lost>;

// Deciding NeverRan revokes the launch: do not ask for one whose shim may be about to start, unless it shall
// not.
//
// `launched_in_boot` is the boot id that the caller recorded durably with its intent to launch. Nothing in
// the directory but the ending is synced, so of a launch of an earlier boot one can tell only Over and Lost:
// "never ran" cannot be proven then. Without it launch.json's own is used, where that file survived.
//
// The files are read whatever is in their place: what is no plain file, too long, or not what the supervisor sealed is
// Code::corrupt. Where an ending is wrong and its supervisor is gone, whoever asked has to tell.
Condition inspect(const std::string& directory, const std::string& launched_in_boot = {}, const Seal& seal = {});

// The ending alone, of a launch whose supervisor lives; nothing where it has written none yet.
std::optional<Ended> ending_in(const std::string& directory, const Seal& seal = {});

// Whether a shim holds the claim of a launch that it has begun.
bool is_supervised(const std::string& directory);

// Puts stop.json in place (idempotent). The shim acts on it at once; one that is not there yet will not start
// the command.
void request_stop(const std::string& directory, const Stop& stop);

// After Lost: kills whatever the job left behind (its group, and by its environment mark
// BERTH_LAUNCH=<directory>) and removes its control group. Code::conflict while a shim has it; Code::timeout
// when something will not die.
void kill_leftovers(const std::string& directory);

// The same for a launch that the caller knows to be unsupervised, whatever its files say or whether it is there at all:
// `group` is the job's, or "" without.
void kill_unsupervised(const std::string& directory, const std::string& group);
// Whether something of it runs, by the group and the mark.
bool has_processes(const std::string& directory, const std::string& group);

}  // namespace berth::shim
