#include "agent/cli/doctor/judge.hpp"

#include <algorithm>
#include <array>

#include "agent/cli/doctor/advice.hpp"
#include "agent/cli/words.hpp"

namespace berth::cli::doctor {
namespace {

constexpr std::array<const char*, 4> kControllers{"cpu", "io", "memory", "pids"};
constexpr std::array<const char*, 2> kVolatile{"tmpfs", "ramfs"};
constexpr std::array<const char*, 8> kRemote{"nfs", "nfs4", "cifs", "smb3", "fuse.sshfs", "9p", "ceph", "glusterfs"};
constexpr ByteSize kLittleSpace = 2_GiB;
constexpr std::uint64_t kLittleShare = 20;  // one twentieth of the file system
constexpr std::uint64_t kEnoughOpenFiles = 4096;
constexpr auto kClockTolerance = std::chrono::seconds(60);
constexpr std::size_t kNamed = 5;  // of a list; --verbose tells all

Check unknown(std::string name) {
  return {std::move(name), Level::note, "not checked: only the agent can tell, and it does not answer", "", {}};
}

template <class List>
std::string joined(const List& list, std::size_t most = 100) {
  std::string text;
  std::size_t number = 0;
  for (const auto& each : list) {
    if (number++ == most) return text + ", …";
    text += (text.empty() ? "" : ", ") + std::string(each);
  }
  return text;
}

template <std::size_t N>
bool among(const std::string& text, const std::array<const char*, N>& list) {
  return std::find(list.begin(), list.end(), text) != list.end();
}

// --- parts of the agent's own checks

std::vector<std::string> missing_controllers(const AgentFacts& agent) {
  std::vector<std::string> missing;
  for (const auto* wanted : kControllers)
    if (std::find(agent.delegated.begin(), agent.delegated.end(), wanted) == agent.delegated.end())
      missing.emplace_back(wanted);
  return missing;
}

bool are_available(const std::vector<std::string>& controllers, const AgentFacts& agent) {
  return std::all_of(controllers.begin(), controllers.end(), [&](const std::string& each) {
    return std::find(agent.controllers.begin(), agent.controllers.end(), each) != agent.controllers.end();
  });
}

std::string delegation_advice(const std::vector<std::string>& missing, const AgentFacts& agent) {
  if (are_available(missing, agent))
    return "they are there, but not handed on to jobs: processes in " + agent.cgroup_base + " itself prevent that;\n" +
           restart_of(agent);
  if (agent.machine_agent)
    return "let the agent run as the service of Berth's package, which asks systemd for all of them";
  return "sudo mkdir -p /etc/systemd/system/user@.service.d\n"
         "printf '[Service]\\nDelegate=cpu cpuset io memory pids\\n' | sudo tee "
         "/etc/systemd/system/user@.service.d/delegate.conf\n"
         "sudo systemctl daemon-reload, then log out and in again";
}

constexpr const char* kUnifiedAdvice =
    "boot with cgroup v2: add systemd.unified_cgroup_hierarchy=1 to GRUB_CMDLINE_LINUX in "
    "/etc/default/grub,\n"
    "then sudo update-grub and reboot";

std::string namespace_advice(const NamespaceFacts& namespaces) {
  if (namespaces.restricted_by_apparmor)
    return "AppArmor keeps them from users: sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0\n"
           "(to keep it: a file in /etc/sysctl.d), or use the machine's agent, which needs none";
  if (namespaces.unprivileged == false) return "sudo sysctl kernel.unprivileged_userns_clone=1";
  if (namespaces.most == 0) return "sudo sysctl user.max_user_namespaces=15000";
  return {};
}

// Percent of the whole; 0 is unknown, and nothing is fuller than that.
bool fuller_than(std::uint64_t percent, std::uint64_t free, std::uint64_t total) {
  return percent > 0 && free < total && (total - free) * 100 >= percent * total;
}

bool little(std::uint64_t free, std::uint64_t total) { return free < total / kLittleShare; }

}  // namespace

Check judge_versions(std::string_view own_version, const Agent& agent) {
  if (!agent) return unknown("versions");
  Check check{"versions", Level::ok, "berth and berthd " + agent->version, "", {}};
  const auto& old = agent->jobs_of_outdated_supervisors;
  if (!old.empty()) {
    check.level = Level::note;
    check.what += "; " + std::to_string(old.size()) + " of " + std::to_string(agent->supervisors) +
                  " jobs run under the berth-shim of an earlier installation, which is fine: " + joined(old, kNamed);
    check.details = old;
  }
  if (agent->version != own_version) {
    check.level = Level::warning;
    check.what = "berth is " + std::string(own_version) + ", berthd is " + agent->version;
    check.advice =
        "the agent was not restarted after an upgrade, or this is another installation's berth\n(type -a "
        "berth); " +
        restart_of(*agent) + ": jobs run on";
  }
  return check;
}

Check judge_cgroup(CgroupMode mode, const Agent& agent) {
  Check check{"cgroup", Level::ok, "version 2", "", {}};
  if (agent && !agent->cgroup_base.empty()) check.details.push_back("jobs below " + agent->cgroup_base);
  if (mode != CgroupMode::unified) {
    check.level = Level::warning;
    check.what = mode == CgroupMode::none ? "no control groups are mounted: limits are off"
                                          : "limits are off: the controllers are with version 1 of control groups";
    check.advice = kUnifiedAdvice;
    return check;
  }
  if (!agent) {
    check.what += "; what the agent may use of it is not checked";
    return check;
  }
  if (agent->cgroup_base.empty()) {
    check.level = Level::warning;
    check.what = "the agent may not make control groups: limits are off, and trees are killed process by process";
    check.advice = delegation_advice({"memory"}, *agent);
    return check;
  }
  check.details.push_back("handed on to jobs: " + joined(agent->delegated));
  const auto missing = missing_controllers(*agent);
  if (missing.empty()) {
    check.what += ", with " + joined(kControllers);
    return check;
  }
  check.level = Level::warning;
  check.what = "no limits on " + joined(missing) + ": these controllers do not reach the jobs";
  check.advice = delegation_advice(missing, *agent);
  return check;
}

Check judge_disk(const Agent& agent) {
  if (!agent) return unknown("disk");
  const auto& state = agent->state;
  Check check{
      "disk",
      Level::ok,
      to_text(state.free) + " of " + to_text(state.total) + " free at " + state.path + " (" + state.file_system + ")",
      "",
      {}};
  check.details.push_back(std::to_string(state.files_free) + " of " + std::to_string(state.files_total) +
                          " inodes free");
  check.details.push_back("new jobs are refused with less than " + to_text(state.reserved) + " free");
  if (among(state.file_system, kVolatile)) {
    check.level = Level::problem;
    check.what = state.path + " is on " + state.file_system + ": jobs and their records are gone after a reboot";
    check.advice = "set state_dir to a directory on a disk";
  } else if (!state.refusal.empty() || state.free < state.reserved) {
    check.level = Level::problem;
    check.what += state.refusal.empty() ? ": too little for new jobs" : ": new work is refused, " + state.refusal;
    check.advice = "berth gc gives some back; else delete or add space";
  } else if (state.files_total > 0 && state.files_free == 0) {
    check.level = Level::problem;
    check.what = "no inode is free at " + state.path;
    check.advice = "berth gc gives some back; else delete files there";
  } else if (fuller_than(state.high, state.free.bytes(), state.total.bytes())) {
    check.level = Level::warning;
    check.what += ": fuller than disk_high, " + std::to_string(state.high) + "%";
    check.advice = "the agent removes what may go, oldest first; berth gc --dry-run tells what is left to go";
  } else if (state.free < kLittleSpace || little(state.free.bytes(), state.total.bytes()) ||
             little(state.files_free, state.files_total)) {
    check.level = Level::warning;
    check.what += little(state.files_free, state.files_total) ? ", and few inodes" : "";
    check.advice = "berth gc --dry-run tells what could go";
  } else if (among(state.file_system, kRemote)) {
    check.level = Level::warning;
    check.what += ": over the network, where locks and syncs are slow or do not hold";
    check.advice = "set state_dir to a directory on a local disk";
  }
  return check;
}

Check judge_clock(const ClockFacts& clock, const Agent& agent) {
  Check check{"clock", Level::ok, "synchronised", "", {to_rfc3339(clock.now)}};
  if (!clock.synchronised) {
    check.level = Level::note;
    check.what = "whether it is synchronised cannot be told from here";
  } else if (!*clock.synchronised) {
    check.level = Level::warning;
    check.what = "not synchronised: times in records may be wrong";
    check.advice = "sudo timedatectl set-ntp true (systemd-timesyncd or chrony must be installed)";
  }
  if (agent && agent->newest_record && clock.now + kClockTolerance < *agent->newest_record) {
    check.level = Level::problem;
    check.what = "set back: the latest record is " + to_words(*agent->newest_record - clock.now) + " in the future";
    check.advice = "set the clock right: sudo timedatectl set-ntp true, or sudo date -s …; durations are not affected";
  }
  return check;
}

Check judge_overlay(const NamespaceFacts& namespaces, const Agent& agent) {
  if (!agent) return unknown("overlay");
  if (agent->overlays) return {"overlay", Level::ok, "a job's tree is an overlay on its snapshot", "", {}};
  Check check{"overlay",
              Level::warning,
              "overlays cannot be mounted: every job gets a copy of its code, which is slower",
              "",
              {}};
  const auto advice = agent->machine_agent ? std::string() : namespace_advice(namespaces);
  check.advice = advice.empty() ? "sudo modprobe overlay; the state directory must be on ext4, xfs or btrfs" : advice;
  return check;
}

Check judge_namespaces(const NamespaceFacts& namespaces) {
  const auto advice = namespace_advice(namespaces);
  if (advice.empty()) return {"namespaces", Level::ok, "users may make user namespaces", "", {}};
  return {"namespaces",
          Level::note,
          "users may not make user namespaces: `berthd --user` copies code and cannot cut off the network",
          advice,
          {}};
}

Check judge_leftovers(const Agent& agent) {
  if (!agent) return unknown("leftovers");
  Check check{"leftovers", Level::ok, "none", "", {}};
  std::uint64_t processes = 0;
  for (const auto& directory : agent->directories_left) check.details.push_back(directory);
  for (const auto& group : agent->cgroups_left) {
    processes += group.processes;
    check.details.push_back(group.path + " (" + std::to_string(group.processes) +
                            (group.processes == 1 ? " process)" : " processes)"));
  }
  for (const auto& directory : agent->unrecorded) check.details.push_back(directory + " (of a job without a record)");
  if (check.details.empty()) return check;
  check.level = Level::warning;
  check.what = "of ended jobs: " + joined(check.details, kNamed);
  if (!agent->directories_left.empty())
    check.advice = "directories are cleared when the agent starts: " + restart_of(*agent) + "; jobs run on";
  if (!agent->cgroups_left.empty()) {
    const auto& path = agent->cgroups_left.front().path;
    check.advice += check.advice.empty() ? "" : "\n";
    if (processes > 0) check.advice += "end what still runs there: echo 1 | sudo tee " + path + "/cgroup.kill\n";
    check.advice += "remove the group: sudo rmdir " + path;
  }
  if (!agent->unrecorded.empty()) {
    check.advice += check.advice.empty() ? "" : "\n";
    check.advice += "what jobs without a record wrote is kept; look for a lost database, else remove it: rm -r " +
                    agent->unrecorded.front();
  }
  return check;
}

Check judge_files(const Agent& agent) {
  if (!agent) return unknown("open files");
  Check check{"open files", Level::ok, "the agent may open " + std::to_string(agent->open_files), "", {}};
  if (agent->open_files >= kEnoughOpenFiles) return check;
  check.level = Level::warning;
  check.what += ": few for many jobs and followers";
  check.advice = agent->machine_agent
                     ? "set LimitNOFILE=524288 with `sudo systemctl edit berthd`"
                     : "raise the hard limit (ulimit -Hn, /etc/security/limits.conf) before starting it";
  return check;
}

Check judge_python(const PythonFacts& python) {
  if (python.version.empty())
    return {"python",
            Level::warning,
            "there is no python3: jobs must name an interpreter of their own",
            "sudo apt install python3 python3-venv",
            {}};
  if (!python.venv)
    return {"python",
            Level::warning,
            "python3 " + python.version + " cannot make virtual environments",
            "sudo apt install python3-venv",
            {}};
  return {"python", Level::ok, "python3 " + python.version + " with venv", "", {}};
}

Check judge_git(const std::string& version) {
  if (version.empty())
    return {"git", Level::note, "not installed; the git state of submitted code is recorded all the same", "", {}};
  return {"git", Level::ok, "git " + version, "", {}};
}

Check judge_docker(const DockerFacts& docker, const Agent& agent) {
  switch (docker.state) {
    case DockerFacts::State::absent:
      return {"docker",
              Level::note,
              "no container engine listens on " + docker.socket + ": image jobs will not work",
              "sudo apt install docker.io, or name its socket in the agent's configuration: docker_socket",
              {}};
    case DockerFacts::State::denied:
      return {"docker",
              Level::note,
              "you may not use " + docker.socket + "; a machine's agent is root and may",
              "sudo berth doctor looks closer",
              {}};
    case DockerFacts::State::silent:
      return {"docker",
              Level::warning,
              "nobody answers on " + docker.socket + ": image jobs will not work",
              "sudo systemctl start docker; journalctl -u docker -n 50 tells more",
              {}};
    case DockerFacts::State::answers:
      break;
  }
  const auto* name = docker.podman ? "Podman " : "Docker ";
  Check check{"docker", Level::ok, name + docker.version + " (API " + docker.api + ")", "", {docker.socket}};
  const bool nvidia = docker.nvidia_hook ||
                      std::find(docker.runtimes.begin(), docker.runtimes.end(), "nvidia") != docker.runtimes.end();
  if (agent && !agent->gpus.empty() && !docker.runtimes.empty() && !nvidia) {
    check.level = Level::problem;
    check.what += " knows no NVIDIA runtime: image jobs that ask for GPUs will not start";
    check.advice =
        "install nvidia-container-toolkit (NVIDIA's package repository has it), then\n"
        "sudo nvidia-ctk runtime configure --runtime=docker && sudo systemctl restart docker";
  } else if (!docker.podman && docker.live_restore == false) {
    check.level = Level::note;
    check.what += "; a restart of it ends the image jobs that run";
    check.advice = "put \"live-restore\": true into /etc/docker/daemon.json, then sudo systemctl reload docker";
  }
  return check;
}

Check judge_nvidia(const NvidiaFacts& nvidia) {
  if (nvidia.driver.empty() && nvidia.devices == 0)
    return {"nvidia", Level::ok, "no NVIDIA GPU in this machine", "", {}};
  const auto gpus = std::to_string(nvidia.devices) + (nvidia.devices == 1 ? " GPU" : " GPUs");
  if (nvidia.driver.empty())
    return {"nvidia",
            Level::warning,
            gpus + " on the PCI bus, but no driver is loaded",
            "Ubuntu: sudo ubuntu-drivers install; Debian: sudo apt install nvidia-driver; then reboot\n"
            "(with Secure Boot on, the module's key must be enrolled)",
            {}};
  if (!nvidia.library)
    return {"nvidia",
            Level::warning,
            "driver " + nvidia.driver + ", but libnvidia-ml.so.1 cannot be loaded",
            "install the driver's libraries: libnvidia-ml1 (Debian), libnvidia-compute-… (Ubuntu), of the "
            "same version",
            {}};
  if (!nvidia.library_version.empty() && nvidia.library_version != nvidia.driver)
    return {"nvidia",
            Level::problem,
            "the loaded driver is " + nvidia.driver + ", its libraries are " + nvidia.library_version,
            "the driver was upgraded: berth drain, wait for the jobs, reboot",
            {}};
  return {"nvidia", Level::ok, "driver " + nvidia.driver + (nvidia.devices > 0 ? ", " + gpus : ""), "", {}};
}

// What the agent made of what the driver offers.
Check judge_gpus(const NvidiaFacts& nvidia, const Agent& agent) {
  if (!agent) return unknown("gpus");
  const auto all = agent->gpus.size();
  Check check{"gpus", Level::ok, std::to_string(all) + (all == 1 ? " GPU" : " GPUs") + " for jobs", "",
              agent->gpu_notes};
  if (all == 0) {
    check.what = "the agent has no GPUs for jobs";
    if (!agent->gpu_notes.empty()) check.what += ": " + agent->gpu_notes.front();
    if (nvidia.driver.empty()) return check;
    check.level = Level::note;
    check.advice = "`gpus` and `nvml` in the agent's configuration say which it looks for, and how";
    return check;
  }
  std::vector<std::string> withheld;
  for (const auto& gpu : agent->gpus)
    if (!gpu.withheld.empty()) withheld.push_back(gpu.label + " (" + gpu.withheld + ")");
  if (withheld.empty()) return check;
  check.level = Level::warning;
  check.what = std::to_string(withheld.size()) + " of " + std::to_string(all) + (all == 1 ? " GPU is" : " GPUs are") +
               " withheld from jobs: " + joined(withheld, kNamed);
  check.advice =
      "nvidia-smi tells who uses them and how they are; they are offered again when the reason is gone, and those "
      "after an Xid or taken out of use by `berth gpu resume`";
  return check;
}

Check judge_boot(const BootFacts& boot) {
  Check check{"boot", Level::ok, "up for " + to_words(boot.up), "", {}};
  if (!boot.reboot_required) return check;
  check.level = Level::note;
  check.what += "; a reboot is pending" + (boot.packages.empty() ? "" : " (" + boot.packages + ")");
  check.advice = "berth drain, wait for the running jobs, reboot; waiting jobs stay in the queue";
  return check;
}

}  // namespace berth::cli::doctor
