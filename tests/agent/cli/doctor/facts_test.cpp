// Facts are read from a machine made of a few files.

#include "agent/cli/doctor/facts.hpp"

#include <doctest/doctest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <map>

#include "runtime/os/file.hpp"
#include "tests/agent/cli/scripted_agent.hpp"

using namespace berth;
using namespace berth::cli::doctor;

namespace {

struct Scene {
  void file(const std::string& path, const std::string& text) const {
    const auto full = directory.path() + path;
    os::make_directories(os::parent_of(full));
    os::write_file(full, text, 0644, os::Durable::no);
  }
  void program(const std::string& command, Machine::Answer answer) { answers[command] = std::move(answer); }
  Machine machine() const {
    return {directory.path(), [this](const std::vector<std::string>& command) -> std::optional<Machine::Answer> {
              std::string line;
              for (const auto& word : command) line += (line.empty() ? "" : " ") + word;
              for (const auto& [known, answer] : answers)
                if (line.starts_with(known)) return answer;
              return std::nullopt;
            }};
  }
  os::TempDir directory;
  std::map<std::string, Machine::Answer> answers;
};

}  // namespace

TEST_CASE("the version of control groups is read from the mounts") {
  const Scene scene;
  CHECK(read_cgroup_mode(scene.machine()) == CgroupMode::none);
  scene.file("/proc/self/mounts", "cgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n");
  CHECK(read_cgroup_mode(scene.machine()) == CgroupMode::unified);
  scene.file("/proc/self/mounts", "cgroup /sys/fs/cgroup/memory cgroup rw,memory 0 0\n");
  CHECK(read_cgroup_mode(scene.machine()) == CgroupMode::version1);
  scene.file("/proc/self/mounts",
             "cgroup /sys/fs/cgroup/memory cgroup rw,memory 0 0\ncgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n");
  CHECK(read_cgroup_mode(scene.machine()) == CgroupMode::hybrid);
}

TEST_CASE("the service is looked for where packages and administrators put it") {
  Scene scene;
  auto service = read_service(scene.machine());
  CHECK(!service.installed);
  CHECK(!service.systemd);
  scene.file("/lib/systemd/system/berthd.service", "[Service]");
  scene.file("/run/systemd/system/x", "");
  scene.program("systemctl is-active berthd.service", {3, "failed"});
  service = read_service(scene.machine());
  CHECK(service.installed);
  CHECK(service.systemd);
  CHECK(!service.enabled);
  CHECK(service.state == "failed");
  scene.file("/etc/systemd/system/sockets.target.wants/berthd.socket", "");
  CHECK(read_service(scene.machine()).enabled);
}

TEST_CASE("python, its venv module, and git are asked") {
  Scene scene;
  CHECK(read_python(scene.machine()).version.empty());
  CHECK(read_git(scene.machine()).empty());
  scene.program("python3 -c import sys", {0, "3.11.2"});
  scene.program("python3 -c import venv", {1, ""});
  scene.program("git --version", {0, "git version 2.39.5"});
  CHECK(read_python(scene.machine()).version == "3.11.2");
  CHECK(!read_python(scene.machine()).venv);
  scene.program("python3 -c import venv", {0, ""});
  CHECK(read_python(scene.machine()).venv);
  CHECK(read_git(scene.machine()) == "2.39.5");
}

TEST_CASE("GPUs are counted on the PCI bus, and the driver tells its version") {
  const Scene scene;
  CHECK(read_nvidia(scene.machine()).devices == 0);
  scene.file("/sys/bus/pci/devices/0000:01:00.0/vendor", "0x10de\n");
  scene.file("/sys/bus/pci/devices/0000:01:00.0/class", "0x030200\n");
  scene.file("/sys/bus/pci/devices/0000:01:00.1/vendor", "0x10de\n");  // its sound
  scene.file("/sys/bus/pci/devices/0000:01:00.1/class", "0x040300\n");
  scene.file("/sys/bus/pci/devices/0000:02:00.0/vendor", "0x8086\n");
  scene.file("/sys/bus/pci/devices/0000:02:00.0/class", "0x030000\n");
  scene.file("/proc/driver/nvidia/version",
             "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  535.161.08  Release Build  "
             "(dvs@x)\nGCC version:  gcc version 12.3.0\n");
  const auto nvidia = read_nvidia(scene.machine());
  CHECK(nvidia.devices == 1);
  CHECK(nvidia.driver == "535.161.08");
}

TEST_CASE("uptime and a pending reboot are read") {
  const Scene scene;
  scene.file("/proc/uptime", "15362.19 30000.00\n");
  CHECK(read_boot(scene.machine()).up == std::chrono::seconds(15'362));
  CHECK(!read_boot(scene.machine()).reboot_required);
  scene.file("/var/run/reboot-required", "*** System restart required ***\n");
  scene.file("/var/run/reboot-required.pkgs", "linux-image-6.1\nlibc6\n");
  CHECK(read_boot(scene.machine()).reboot_required);
  CHECK(read_boot(scene.machine()).packages == "linux-image-6.1 libc6");
}

TEST_CASE("what keeps users from user namespaces is read") {
  const Scene scene;
  auto facts = read_namespaces(scene.machine());
  CHECK(!facts.most);
  CHECK(!facts.unprivileged);
  CHECK(!facts.restricted_by_apparmor);
  scene.file("/proc/sys/user/max_user_namespaces", "96365\n");
  scene.file("/proc/sys/kernel/unprivileged_userns_clone", "0\n");
  scene.file("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1\n");
  facts = read_namespaces(scene.machine());
  CHECK(facts.most == 96'365);
  CHECK(facts.unprivileged == false);
  CHECK(facts.restricted_by_apparmor);
}

TEST_CASE("the socket's owner, group and mode are read, and the user's groups") {
  const os::TempDir directory;
  const auto path = directory / "sock";
  CHECK(!read_socket(path).exists);
  os::write_file(path, "", 0640, os::Durable::no);
  ::chmod(path.c_str(), 0640);
  const auto socket = read_socket(path);
  CHECK(socket.exists);
  CHECK(socket.mode == 0640);
  CHECK(!socket.owner.empty());
  const auto user = read_user(socket.group);
  CHECK(user.group_in_session);
  CHECK(user.root == (::geteuid() == 0));
  CHECK(!read_user("no such group").group_in_session);
  CHECK(!read_user("").group_in_database);
}

TEST_CASE("the agent's facts are read, and those of another version as far as they go") {
  const auto facts = agent_facts_from_json(
      R"({"version":"0.1.0","mode":"machine","pid":4,"socket":{"path":"/s","group":"berth"},
          "state":{"path":"/v","file_system":"ext4","free_bytes":5,"total_bytes":9,"files_free":1,"files_total":2,"reserved_bytes":3,"refusal":"full","disk_high_percent":90},
          "cgroup":{"base":"/b","controllers":["cpu","io"],"delegated":["cpu"]},"overlays":true,"open_files":1024,
          "newest_record":"2026-03-14T12:00:00Z","supervisors":[{"job":"a","pid":1,"outdated":true},{"job":"b","pid":2,"outdated":false}],
          "leftovers":{"directories":["/d"],"cgroups":[{"path":"/c","processes":2}]}})");
  CHECK(facts.machine_agent);
  CHECK(facts.group == "berth");
  CHECK(facts.state.free == ByteSize(5));
  CHECK(facts.state.refusal == "full");
  CHECK(facts.state.high == 90);
  CHECK(facts.controllers.size() == 2);
  CHECK(facts.jobs_of_outdated_supervisors == std::vector<std::string>{"a"});
  CHECK(facts.supervisors == 2);
  CHECK(facts.newest_record);
  CHECK(facts.cgroups_left.at(0).processes == 2);
  const auto nothing = agent_facts_from_json(R"({"state":{},"leftovers":{"more":[]},"cgroup":null,"added":7})");
  CHECK(nothing.version.empty());
  CHECK(nothing.directories_left.empty());
}

TEST_CASE("Docker is asked on its socket") {
  const std::string version = R"({"Version":"20.10.24","ApiVersion":"1.41"})";
  const std::string info = R"({"LiveRestoreEnabled":false,"Runtimes":{"runc":{},"nvidia":{}}})";
  cli::ScriptedAgent docker({{cli::ScriptedAgent::ok(version)}, {cli::ScriptedAgent::ok(info)}});
  const Machine machine("/nonexistent", [](const auto&) { return std::nullopt; });
  ::setenv("DOCKER_HOST", ("unix://" + docker.socket()).c_str(), 1);
  auto facts = read_docker(machine, "");
  CHECK(facts.state == DockerFacts::State::answers);
  CHECK(facts.live_restore == false);
  CHECK(facts.runtimes == std::vector<std::string>{"nvidia", "runc"});
  CHECK(!facts.nvidia_hook);
  CHECK(facts.version == "20.10.24");
  CHECK(facts.api == "1.41");
  CHECK(docker.finish().at(0).find("/version") != std::string::npos);
  CHECK(read_docker(machine, "").state == DockerFacts::State::silent);
  ::setenv("DOCKER_HOST", "unix:///nowhere/docker.sock", 1);
  CHECK(read_docker(machine, "").state == DockerFacts::State::absent);
  CHECK(read_docker(machine, docker.socket()).state == DockerFacts::State::silent);  // the agent's counts
  ::unsetenv("DOCKER_HOST");
}

TEST_CASE("a program that is not there does not answer, one that is does") {
  const Machine machine;
  CHECK(!machine.run({"no-such-program-anywhere"}));
  const auto answer = machine.run({"sh", "-c", "echo hello; exit 3"});
  REQUIRE(answer);
  CHECK(answer->code == 3);
  CHECK(answer->output == "hello");
  CHECK(machine.exists("/proc/self"));
  CHECK(!machine.text("/proc/nothing"));
}
