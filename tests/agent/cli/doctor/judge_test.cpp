#include "agent/cli/doctor/judge.hpp"

#include <doctest/doctest.h>

#include "tests/agent/cli/sample.hpp"

using namespace berth;
using namespace berth::cli::doctor;

namespace {

bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

AgentFacts healthy() {
  AgentFacts agent;
  agent.version = "0.1.0";
  agent.machine_agent = true;
  agent.pid = 42;
  agent.socket = "/run/berth/berth.sock";
  agent.group = "berth";
  agent.state = {"/var/lib/berth", "ext4", 50_GiB, 100_GiB, 900, 1000, 64_MiB, "", 0};
  agent.cgroup_base = "/sys/fs/cgroup/berth.slice/berth-jobs.scope";
  agent.controllers = agent.delegated = {"cpu", "io", "memory", "pids"};
  agent.overlays = true;
  agent.open_files = 524'288;
  agent.newest_record = cli::sample::noon();
  agent.supervisors = 2;
  return agent;
}

AccessFacts reached() {
  AccessFacts access;
  access.whose = cli::Whose::machine;
  access.socket = {"/run/berth/berth.sock", true, 0660, "root", "berth"};
  access.user = {"ada", false, true, true};
  access.service = {true, true, true, "active"};
  return access;
}

DockerFacts docker_with(std::vector<std::string> runtimes, bool live_restore) {
  DockerFacts docker{DockerFacts::State::answers, "/var/run/docker.sock", "20.10.24", "1.41"};
  docker.runtimes = std::move(runtimes);
  docker.live_restore = live_restore;
  return docker;
}

AccessFacts away(Code code) {
  auto access = reached();
  access.failure = Error(code, "it is so", "do this");
  return access;
}

}  // namespace

TEST_CASE("a healthy node has nothing to be told") {
  const Agent agent = healthy();
  const NamespaceFacts namespaces{15'000, true, false};
  for (const auto& check :
       {judge_agent(reached(), agent), judge_socket(reached(), agent), judge_versions("0.1.0", agent),
        judge_cgroup(CgroupMode::unified, agent), judge_disk(agent), judge_clock({cli::sample::noon(), true}, agent),
        judge_overlay(namespaces, agent), judge_namespaces(namespaces), judge_leftovers(agent), judge_files(agent),
        judge_python({"3.11.2", true}), judge_git("2.39.5"), judge_docker(docker_with({"runc"}, true), agent),
        judge_nvidia({2, "535.161.08", true, "535.161.08"}), judge_nvidia({}),
        judge_boot({std::chrono::hours(1), false, ""})}) {
    CAPTURE(check.name);
    CAPTURE(check.what);
    CHECK(check.level == Level::ok);
    CHECK(check.advice.empty());
    CHECK(!check.what.empty());
  }
}

TEST_CASE("who may not use the socket learns how to join its group") {
  auto access = away(Code::denied);
  access.user = {"ada", false, false, false};
  auto check = judge_agent(access, {});
  CHECK(check.level == Level::problem);
  CHECK(has(check.what, "ada may not use the socket /run/berth/berth.sock, which is open to group berth"));
  CHECK(has(check.advice, "sudo usermod -aG berth ada"));
  access.user.group_in_database = true;
  check = judge_agent(access, {});
  CHECK(!has(check.advice, "usermod"));
  CHECK(has(check.advice, "log out and in again"));
  access.user.group_in_session = true;
  CHECK(has(judge_agent(access, {}).advice, "directories above"));
  access.socket.mode = 0600;
  CHECK(has(judge_agent(access, {}).advice, "berthd --user"));
}

TEST_CASE("an agent that does not run is started in the way that the machine has") {
  auto access = away(Code::unavailable);
  access.service = {};
  CHECK(judge_agent(access, {}).level == Level::problem);
  CHECK(has(judge_agent(access, {}).advice, "berthd --user"));
  access.service = {true, true, true, "failed"};
  CHECK(has(judge_agent(access, {}).advice, "journalctl -u berthd"));
  access.service.mistake = "/etc/berth/berthd.yaml:3: unknown key 'log_cpa'";
  CHECK(has(judge_agent(access, {}).what, access.service.mistake));
  CHECK(has(judge_agent(access, {}).advice, "systemctl restart berthd"));
  access.service.mistake.clear();
  access.service.state = "active";
  CHECK(has(judge_agent(access, {}).what, "though the service is active"));
  access.service.state = "inactive";
  CHECK(has(judge_agent(access, {}).advice, "systemctl start"));
  access.service.enabled = false;
  CHECK(has(judge_agent(access, {}).advice, "systemctl enable --now"));
  access.service.systemd = false;
  CHECK(has(judge_agent(access, {}).what, "systemd does not run this machine"));
  access.whose = cli::Whose::own;
  CHECK(has(judge_agent(access, {}).advice, "start it again: berthd --user &"));
  access.whose = cli::Whose::named;
  CHECK(has(judge_agent(access, {}).advice, "--socket or BERTH_SOCKET"));
  CHECK(judge_agent(away(Code::not_found), {}).level == Level::warning);
  const auto other = judge_agent(away(Code::timeout), {});
  CHECK(other.level == Level::problem);
  CHECK(other.what == "it is so");
  CHECK(other.advice == "do this");
}

TEST_CASE("what only the agent can tell is not guessed") {
  for (const auto& check :
       {judge_versions("0.1.0", {}), judge_disk({}), judge_overlay({}, {}), judge_leftovers({}), judge_files({})}) {
    CHECK(check.level == Level::note);
    CHECK(has(check.what, "not checked"));
  }
}

TEST_CASE("a socket that is too open, or open to nobody, is told") {
  auto access = reached();
  access.socket.mode = 0666;
  CHECK(judge_socket(access, healthy()).level == Level::problem);
  access.socket = {"/run/berth/berth.sock", true, 0600, "root", "root"};
  const auto check = judge_socket(access, healthy());
  CHECK(check.level == Level::warning);
  CHECK(has(check.advice, "groupadd --system berth"));
  auto own = healthy();
  own.machine_agent = false;
  CHECK(judge_socket(access, own).level == Level::ok);
  access.socket.exists = false;
  CHECK(judge_socket(access, {}).level == Level::note);
}

TEST_CASE("different versions are told, older supervisors are fine") {
  auto agent = healthy();
  CHECK(judge_versions("0.2.0", agent).level == Level::warning);
  CHECK(has(judge_versions("0.2.0", agent).advice, "systemctl restart berthd"));
  agent.jobs_of_outdated_supervisors = {"brave-heron-7k2m"};
  const auto check = judge_versions("0.1.0", agent);
  CHECK(check.level == Level::note);
  CHECK(has(check.what, "1 of 2 jobs"));
  CHECK(has(check.what, "brave-heron-7k2m"));
}

TEST_CASE("without version 2 of control groups, or their controllers, limits are off") {
  for (const auto mode : {CgroupMode::hybrid, CgroupMode::version1, CgroupMode::none}) {
    const auto check = judge_cgroup(mode, healthy());
    CHECK(check.level == Level::warning);
    CHECK(has(check.what, "limits are off"));
    CHECK(has(check.advice, "systemd.unified_cgroup_hierarchy=1"));
  }
  auto agent = healthy();
  agent.delegated = {"cpu", "pids"};
  auto check = judge_cgroup(CgroupMode::unified, agent);
  CHECK(check.level == Level::warning);
  CHECK(has(check.what, "io, memory"));
  CHECK(has(check.advice, "not handed on"));
  agent.controllers = {"cpu", "pids"};
  CHECK(has(judge_cgroup(CgroupMode::unified, agent).advice, "the service of Berth's package"));
  agent.machine_agent = false;
  CHECK(has(judge_cgroup(CgroupMode::unified, agent).advice, "Delegate=cpu cpuset io memory pids"));
  agent.cgroup_base.clear();
  CHECK(has(judge_cgroup(CgroupMode::unified, agent).what, "may not make control groups"));
  CHECK(judge_cgroup(CgroupMode::unified, {}).level == Level::ok);
}

TEST_CASE("a state directory in memory, over the network, or without room is told") {
  const auto with = [](auto change) {
    auto agent = healthy();
    change(agent.state);
    return judge_disk(agent);
  };
  CHECK(with([](auto& state) { state.file_system = "tmpfs"; }).level == Level::problem);
  CHECK(with([](auto& state) { state.file_system = "nfs4"; }).level == Level::warning);
  CHECK(with([](auto& state) { state.free = 10_MiB; }).level == Level::problem);
  CHECK(with([](auto& state) { state.free = 1_GiB; }).level == Level::warning);
  CHECK(with([](auto& state) { state.total = ByteSize(10'000ULL << 30); }).level == Level::warning);
  CHECK(with([](auto& state) { state.refusal = "the budget is reached"; }).what.find("the budget is reached") !=
        std::string::npos);
  CHECK(with([](auto& state) { state.high = 90; }).level == Level::ok);
  const auto full = with([](auto& state) {
    state.high = 90;
    state.total = 1000_GiB;
    state.free = 99_GiB;
  });
  CHECK(full.level == Level::warning);
  CHECK(has(full.what, "fuller than disk_high, 90%"));
  CHECK(with([](auto& state) { state.files_free = 0; }).level == Level::problem);
  CHECK(with([](auto& state) { state.files_free = 10; }).level == Level::warning);
  CHECK(with([](auto& state) { state.files_free = state.files_total = 0; }).level == Level::ok);  // btrfs has no limit
}

TEST_CASE("a clock that was set back, or is not synchronised, is told") {
  const auto noon = cli::sample::noon();
  CHECK(judge_clock({noon, false}, healthy()).level == Level::warning);
  CHECK(judge_clock({noon, std::nullopt}, healthy()).level == Level::note);
  CHECK(judge_clock({noon - std::chrono::seconds(30), true}, healthy()).level == Level::ok);
  const auto check = judge_clock({noon - std::chrono::hours(2), true}, healthy());
  CHECK(check.level == Level::problem);
  CHECK(has(check.what, "2 hours in the future"));
  CHECK(judge_clock({noon - std::chrono::hours(2), true}, {}).level == Level::ok);
}

TEST_CASE("where overlays do not work, what keeps them is told") {
  auto agent = healthy();
  agent.overlays = false;
  CHECK(has(judge_overlay({}, agent).advice, "modprobe overlay"));
  agent.machine_agent = false;
  CHECK(has(judge_overlay({15'000, true, true}, agent).advice, "apparmor_restrict_unprivileged_userns=0"));
  CHECK(has(judge_overlay({15'000, false, false}, agent).advice, "unprivileged_userns_clone=1"));
  CHECK(has(judge_overlay({0, true, false}, agent).advice, "user.max_user_namespaces"));
  CHECK(judge_namespaces({0, true, false}).level == Level::note);
}

TEST_CASE("what ended jobs left is told with the way to be rid of it") {
  auto agent = healthy();
  agent.directories_left = {"/var/lib/berth/jobs/a-job/1"};
  auto check = judge_leftovers(agent);
  CHECK(check.level == Level::warning);
  CHECK(has(check.what, "/var/lib/berth/jobs/a-job/1"));
  CHECK(has(check.advice, "systemctl restart berthd"));
  CHECK(!has(check.advice, "rmdir"));
  agent = healthy();
  agent.cgroups_left = {{"/sys/fs/cgroup/x/a-job-1", 0}};
  check = judge_leftovers(agent);
  CHECK(check.advice == "remove the group: sudo rmdir /sys/fs/cgroup/x/a-job-1");
  agent.cgroups_left[0].processes = 3;
  CHECK(has(judge_leftovers(agent).advice, "echo 1 | sudo tee /sys/fs/cgroup/x/a-job-1/cgroup.kill"));
}

TEST_CASE("few open files are told") {
  auto agent = healthy();
  agent.open_files = 1024;
  CHECK(has(judge_files(agent).advice, "LimitNOFILE"));
  agent.machine_agent = false;
  CHECK(has(judge_files(agent).advice, "ulimit"));
}

TEST_CASE("tools that are missing are told with the package that brings them") {
  CHECK(has(judge_python({}).advice, "apt install python3 python3-venv"));
  CHECK(judge_python({"3.11.2", false}).level == Level::warning);
  CHECK(judge_git("").level == Level::note);
  CHECK(judge_docker({}, {}).level == Level::note);
  CHECK(has(judge_docker({}, {}).what, "image jobs will not work"));
  DockerFacts docker;
  docker.state = DockerFacts::State::silent;
  CHECK(judge_docker(docker, {}).level == Level::warning);
  docker.state = DockerFacts::State::denied;
  CHECK(judge_docker(docker, {}).level == Level::note);
}

TEST_CASE(
    "an engine whose restart ends its jobs, and one that knows no NVIDIA runtime where there are GPUs, are told") {
  auto agent = healthy();
  auto check = judge_docker(docker_with({"runc"}, false), agent);
  CHECK(check.level == Level::note);
  CHECK(has(check.what, "a restart of it ends the image jobs"));
  CHECK(has(check.advice, "live-restore"));
  auto podman = docker_with({"crun"}, false);
  podman.podman = true;
  CHECK(judge_docker(podman, agent).level == Level::ok);
  agent.gpus = {{"0", ""}};
  check = judge_docker(docker_with({"runc"}, true), agent);
  CHECK(check.level == Level::problem);
  CHECK(has(check.what, "NVIDIA runtime"));
  CHECK(has(check.advice, "nvidia-ctk runtime configure"));
  CHECK(judge_docker(docker_with({"runc", "nvidia"}, true), agent).level == Level::ok);
  auto hooked = docker_with({"runc"}, true);
  hooked.nvidia_hook = true;
  CHECK(judge_docker(hooked, agent).level == Level::ok);
  CHECK(judge_docker(docker_with({"runc"}, true), {}).level == Level::ok);
}

TEST_CASE("GPUs without a driver, and a driver that is not its libraries', are told") {
  CHECK(has(judge_nvidia({2, "", false, ""}).what, "2 GPUs on the PCI bus"));
  CHECK(judge_nvidia({1, "535.1", false, ""}).level == Level::warning);
  CHECK(judge_nvidia({1, "535.1", true, ""}).level == Level::ok);
  const auto check = judge_nvidia({1, "535.1", true, "550.2"});
  CHECK(check.level == Level::problem);
  CHECK(has(check.advice, "reboot"));
}

TEST_CASE("withheld GPUs are told with their reasons, and why there are none") {
  CHECK(judge_gpus({}, {}).level == Level::note);
  AgentFacts agent;
  agent.gpu_notes = {"libnvidia-ml.so.1 cannot be loaded"};
  CHECK(judge_gpus({}, agent).level == Level::ok);
  CHECK(has(judge_gpus({}, agent).what, "libnvidia-ml.so.1 cannot be loaded"));
  CHECK(judge_gpus({1, "535.1", true, ""}, agent).level == Level::note);
  agent.gpus = {{"GPU 0", ""}, {"GPU 1", "Xid 79"}};
  CHECK(judge_gpus({}, agent).level == Level::warning);
  CHECK(judge_gpus({}, agent).what == "1 of 2 GPUs are withheld from jobs: GPU 1 (Xid 79)");
  agent.gpus.pop_back();
  CHECK(judge_gpus({}, agent).what == "1 GPU for jobs");
}

TEST_CASE("a pending reboot is told") {
  const auto check = judge_boot({std::chrono::hours(30), true, "linux-image-amd64"});
  CHECK(check.level == Level::note);
  CHECK(has(check.what, "1 day 6 hours"));
  CHECK(has(check.what, "linux-image-amd64"));
  CHECK(has(check.advice, "berth drain"));
}
