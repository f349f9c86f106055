#pragma once

// What `berth doctor` knows before it judges: facts that the command line reads from the machine, and those
// that the agent tells. Reading never fails: what cannot be read stays empty.

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/cli/settings.hpp"
#include "agent/wire/node.hpp"
#include "runtime/base/clock.hpp"
#include "runtime/base/error.hpp"
#include "runtime/base/units.hpp"

namespace berth::cli::doctor {

// The machine as far as files and programs tell; tests give another root and other programs.
class Machine {
 public:
  struct Answer {
    int code = 0;
    std::string output;  // without the line end
  };
  // Nothing when the program is not on the PATH, or does not answer.
  using Run = std::function<std::optional<Answer>(const std::vector<std::string>& command)>;

  Machine();
  Machine(std::string root, Run run) : root_(std::move(root)), run_(std::move(run)) {}

  // Without line ends at its end.
  std::optional<std::string> text(const std::string& path) const;
  bool exists(const std::string& path) const;
  std::vector<std::string> names(const std::string& directory) const;
  std::optional<Answer> run(const std::vector<std::string>& command) const { return run_(command); }

 private:
  std::string root_;
  Run run_;
};

// --- the agent and the way to it

struct SocketFacts {
  std::string path;
  bool exists = false;
  unsigned mode = 0;
  std::string owner;
  std::string group;
};
struct UserFacts {
  std::string name;
  bool root = false;
  bool group_in_session = false;   // the socket's group
  bool group_in_database = false;  // and after the next login
};
struct ServiceFacts {
  bool systemd = false;  // the machine runs it
  bool installed = false;
  bool enabled = false;
  std::string state;  // "active", "failed", "inactive"; "" when nobody tells
  std::string mistake{};  // in its configuration, where that keeps it from running; "" without
};
struct AccessFacts {
  Whose whose = Whose::machine;  // agent was asked
  bool machine_socket = false;   // the machine's agent has one
  SocketFacts socket;
  UserFacts user;
  ServiceFacts service;
  std::optional<Error> failure;  // why the agent did not answer
};
// `group` is looked for among the user's.
UserFacts read_user(const std::string& group);
SocketFacts read_socket(const std::string& path);
ServiceFacts read_service(const Machine& machine);

// What the agent tells of itself.
struct AgentFacts {
  std::string version;
  bool machine_agent = false;
  int pid = 0;
  std::string socket;
  std::string group;
  wire::DoctorFacts::State state;
  std::string docker_socket;  // that it looks for an engine on; "" when it does not tell
  std::string cgroup_base;    // "" without
  std::vector<std::string> controllers;
  std::vector<std::string> delegated;
  bool overlays = false;
  std::uint64_t open_files = 0;
  std::optional<Instant> newest_record;
  std::vector<std::string> jobs_of_outdated_supervisors;
  std::size_t supervisors = 0;
  std::vector<std::string> directories_left;
  std::vector<std::string> unrecorded;  // of jobs
  std::vector<wire::DoctorFacts::Group> cgroups_left;
  struct Gpu {
    std::string label;
    std::string withheld;  // why; "" when it is not
  };
  std::vector<Gpu> gpus;
  std::vector<std::string> gpu_notes;  // why there are none, and what could not be found out
};
// From its JSON of /v1/doctor.
AgentFacts agent_facts_from_json(std::string_view text);

// --- the machine

enum class CgroupMode { none, version1, hybrid, unified };
CgroupMode read_cgroup_mode(const Machine& machine);

struct ClockFacts {
  Instant now{};
  std::optional<bool> synchronised;
};
ClockFacts read_clock();

struct PythonFacts {
  std::string version;  // "" without
  bool venv = false;
};
PythonFacts read_python(const Machine& machine);

// "2.39.5", "" without.
std::string read_git(const Machine& machine);

struct DockerFacts {
  enum class State { absent, denied, silent, answers } state = State::absent;
  std::string socket;
  std::string version;
  std::string api;
  bool podman = false;  // it has no service whose restart could end containers
  // Where it tells more of itself:
  std::optional<bool> live_restore{};   // its containers go on while it is restarted
  std::vector<std::string> runtimes{};  // "runc", "nvidia"
  bool nvidia_hook = false;             // the NVIDIA container toolkit's program is on this machine
};
// `socket`: the agent's; "" for the command line's own choice.
DockerFacts read_docker(const Machine& machine, const std::string& socket);

struct NvidiaFacts {
  std::size_t devices = 0;      // display controllers on the PCI bus
  std::string driver;           // of the kernel's module; "" without
  bool library = false;         // libnvidia-ml.so.1 can be loaded
  std::string library_version;  // "" when its file's name does not tell
};
NvidiaFacts read_nvidia(const Machine& machine);
// Whether libnvidia-ml.so.1 can be loaded, and from which file.
std::optional<std::string> nvml_file();

struct BootFacts {
  std::chrono::seconds up{};
  bool reboot_required = false;
  std::string packages;  // that want it
};
BootFacts read_boot(const Machine& machine);

struct NamespaceFacts {
  std::optional<long> most;             // user.max_user_namespaces
  std::optional<bool> unprivileged;     // kernel.unprivileged_userns_clone (Debian)
  bool restricted_by_apparmor = false;  // kernel.apparmor_restrict_unprivileged_userns (Ubuntu)
};
NamespaceFacts read_namespaces(const Machine& machine);

}  // namespace berth::cli::doctor
