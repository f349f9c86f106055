#include "agent/cli/doctor/facts.hpp"

#include <dlfcn.h>
#include <grp.h>
#include <link.h>
#include <sys/stat.h>
#include <sys/timex.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "agent/wire/json_text.hpp"
#include "runtime/async/tool.hpp"
#include "runtime/base/json.hpp"
#include "runtime/base/json_fields.hpp"
#include "runtime/http/client.hpp"
#include "runtime/os/file.hpp"
#include "runtime/os/identity.hpp"
#include "runtime/os/spawn.hpp"

namespace berth::cli::doctor {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;

constexpr const char* kPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
constexpr std::chrono::seconds kProgramTime{10};
constexpr std::chrono::milliseconds kDockerPatience{10'000};  // Podman's is started by being asked
constexpr std::string_view kNvidiaVendor = "0x10de";
constexpr std::string_view kDisplayClass = "0x03";

std::string without_line_ends(std::string text) {
  while (text.ends_with('\n')) text.pop_back();
  return text;
}

std::optional<std::string> find_program(const std::string& name) {
  const char* path = std::getenv("PATH");
  return os::find_program(path == nullptr ? kPath : path, name);
}

std::optional<Machine::Answer> run_here(const std::vector<std::string>& command) {
  const auto program = find_program(command.front());
  if (!program) return std::nullopt;
  os::SpawnOptions options;
  options.arguments = command;
  options.arguments.front() = *program;
  options.environment = {std::string("PATH=") + kPath, "LC_ALL=C.UTF-8"};
  options.working_directory = "/";
  try {
    const auto finished = async::run_tool_here(std::move(options), {kProgramTime, 1U << 16});
    return Machine::Answer{finished.exit.signalled ? 128 + finished.exit.status : finished.exit.status,
                           without_line_ends(finished.output)};
  } catch (const Error&) {
    return std::nullopt;
  }
}

std::string group_name(gid_t gid) {
  const auto* entry = ::getgrgid(gid);
  return entry == nullptr ? std::to_string(gid) : entry->gr_name;
}

// --- members of what a container engine answers, which may be of any version

json at(const json& object, const char* key) {
  const auto found = object.is_object() ? object.find(key) : object.end();
  return found != object.end() ? *found : json();
}
std::string text_at(const json& object, const char* key) {
  const auto value = at(object, key);
  return value.is_string() ? value.get<std::string>() : "";
}
json list_at(const json& object, const char* key) {
  auto value = at(object, key);
  return value.is_array() ? value : json::array();
}

std::optional<long> number_in(const Machine& machine, const std::string& path) {
  const auto text = machine.text(path);
  return text && !text->empty() ? std::optional(std::atol(text->c_str())) : std::nullopt;
}

// "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.161.08  Sat …": the first word that begins with a
// digit and has a dot.
std::string driver_version(const std::string& text) {
  std::size_t at = 0;
  while (at < text.size()) {
    const auto begin = text.find_first_not_of(" \t\n", at);
    if (begin == std::string::npos) break;
    const auto end = std::min(text.find_first_of(" \t\n", begin), text.size());
    const auto word = text.substr(begin, end - begin);
    if (word.front() >= '0' && word.front() <= '9' && word.find('.') != std::string::npos) return word;
    at = end;
  }
  return {};
}

}  // namespace

Machine::Machine() : run_(run_here) {}

std::optional<std::string> Machine::text(const std::string& path) const {
  try {
    auto text = os::read_file_if_exists(root_ + path, 1U << 20);
    return text ? std::optional(without_line_ends(std::move(*text))) : std::nullopt;
  } catch (const Error&) {
    return std::nullopt;
  }
}

bool Machine::exists(const std::string& path) const { return os::exists(root_ + path); }

std::vector<std::string> Machine::names(const std::string& directory) const {
  std::vector<std::string> names;
  std::error_code absent;
  for (const auto& entry : fs::directory_iterator(root_ + directory, absent)) names.push_back(entry.path().filename());
  return names;
}

UserFacts read_user(const std::string& group) {
  UserFacts facts;
  facts.name = os::user_name(::geteuid());
  facts.root = ::geteuid() == 0;
  const auto gid = group.empty() ? std::nullopt : os::group_id(group);
  if (!gid) return facts;
  const auto member = os::membership(*gid);
  facts.group_in_session = member.in_session;
  facts.group_in_database = member.in_database;
  return facts;
}

SocketFacts read_socket(const std::string& path) {
  SocketFacts facts;
  facts.path = path;
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) return facts;
  facts.exists = true;
  facts.mode = info.st_mode & 0777;
  facts.owner = os::user_name(info.st_uid);
  facts.group = group_name(info.st_gid);
  return facts;
}

ServiceFacts read_service(const Machine& machine) {
  ServiceFacts facts;
  facts.systemd = machine.exists("/run/systemd/system");
  for (const auto* directory : {"/etc/systemd/system/", "/lib/systemd/system/", "/usr/lib/systemd/system/"})
    if (machine.exists(std::string(directory) + "berthd.service")) facts.installed = true;
  for (const auto* link : {"multi-user.target.wants/berthd.service", "sockets.target.wants/berthd.socket"})
    if (machine.exists(std::string("/etc/systemd/system/") + link)) facts.enabled = true;
  if (!facts.systemd || !facts.installed) return facts;
  if (const auto answer = machine.run({"systemctl", "is-active", "berthd.service"})) facts.state = answer->output;
  return facts;
}

AgentFacts agent_facts_from_json(std::string_view text) {
  auto told = message_from<wire::DoctorFacts>(wire::parse_json(text), "what the agent tells of itself");
  AgentFacts facts;
  facts.version = std::move(told.version);
  facts.machine_agent = told.mode == "machine";
  facts.pid = told.pid;
  facts.socket = std::move(told.socket.path);
  facts.group = std::move(told.socket.group);
  facts.state = std::move(told.state);
  facts.docker_socket = std::move(told.docker_socket);
  facts.cgroup_base = std::move(told.cgroup.base);
  facts.controllers = std::move(told.cgroup.controllers);
  facts.delegated = std::move(told.cgroup.delegated);
  facts.overlays = told.overlays;
  facts.open_files = told.open_files;
  facts.newest_record = told.newest_record;
  facts.supervisors = told.supervisors.size();
  for (auto& each : told.supervisors)
    if (each.outdated) facts.jobs_of_outdated_supervisors.push_back(each.job.value());
  facts.directories_left = std::move(told.leftovers.directories);
  facts.unrecorded = std::move(told.leftovers.unrecorded);
  facts.cgroups_left = std::move(told.leftovers.cgroups);
  for (auto& gpu : told.gpus.gpus) facts.gpus.push_back({std::move(gpu.label), gpu.withheld.value_or("")});
  facts.gpu_notes = std::move(told.gpus.nvidia.notes);
  return facts;
}

CgroupMode read_cgroup_mode(const Machine& machine) {
  const auto mounts = "\n" + machine.text("/proc/self/mounts").value_or("");
  if (mounts.find(" /sys/fs/cgroup cgroup2 ") != std::string::npos) return CgroupMode::unified;
  if (mounts.find(" cgroup ") == std::string::npos)
    return mounts.find(" cgroup2 ") == std::string::npos ? CgroupMode::none : CgroupMode::unified;
  return mounts.find(" cgroup2 ") == std::string::npos ? CgroupMode::version1 : CgroupMode::hybrid;
}

ClockFacts read_clock() {
  timex state{};
  const int result = ::adjtimex(&state);
  ClockFacts facts;
  facts.now = system_clock().now();
  if (result >= 0) facts.synchronised = result != TIME_ERROR;
  return facts;
}

PythonFacts read_python(const Machine& machine) {
  const auto version = machine.run({"python3", "-c", "import sys; print('%d.%d.%d' % sys.version_info[:3])"});
  if (!version || version->code != 0) return {};
  const auto venv = machine.run({"python3", "-c", "import venv, ensurepip"});
  return {version->output, venv && venv->code == 0};
}

std::string read_git(const Machine& machine) {
  const auto answer = machine.run({"git", "--version"});
  constexpr std::string_view kBefore = "git version ";
  if (!answer || answer->code != 0 || !answer->output.starts_with(kBefore)) return {};
  return answer->output.substr(kBefore.size());
}

DockerFacts read_docker(const Machine& machine, const std::string& socket) {
  DockerFacts facts;
  facts.socket = socket.empty() ? "/var/run/docker.sock" : socket;
  if (const char* host = std::getenv("DOCKER_HOST");
      socket.empty() && host != nullptr && std::string_view(host).starts_with("unix://"))
    facts.socket = host + 7;
  for (const auto* directory : {"/usr/bin/", "/usr/local/bin/"})
    facts.nvidia_hook |= machine.exists(std::string(directory) + "nvidia-container-runtime-hook");
  if (!os::exists(facts.socket)) return facts;
  http::Client::Options options;
  options.server_name = "Docker";
  options.patience = kDockerPatience;
  try {
    http::Client client(facts.socket, options);
    const auto answer = json_or_null(client.request("GET", "/version").body);
    facts.version = text_at(answer, "Version");
    facts.api = text_at(answer, "ApiVersion");
    for (const auto& component : list_at(answer, "Components"))
      facts.podman |= text_at(component, "Name") == "Podman Engine";
    facts.state = DockerFacts::State::answers;
    const auto info = json_or_null(client.request("GET", "/info").body);
    if (const auto live = at(info, "LiveRestoreEnabled"); live.is_boolean()) facts.live_restore = live.get<bool>();
    const auto runtimes = at(info, "Runtimes");
    for (const auto& [name, runtime] : runtimes.items()) facts.runtimes.push_back(name);
  } catch (const Error& error) {
    if (facts.state != DockerFacts::State::answers)
      facts.state = error.code() == Code::denied ? DockerFacts::State::denied : DockerFacts::State::silent;
  }
  return facts;
}

std::optional<std::string> nvml_file() {
  void* library = ::dlopen("libnvidia-ml.so.1", RTLD_LAZY | RTLD_LOCAL);
  if (library == nullptr) return std::nullopt;
  const link_map* map = nullptr;
  const bool known = ::dlinfo(library, RTLD_DI_LINKMAP, static_cast<void*>(&map)) == 0 && map != nullptr;
  std::error_code failure;
  std::string file = known ? fs::canonical(map->l_name, failure).string() : "";
  ::dlclose(library);
  return file;
}

NvidiaFacts read_nvidia(const Machine& machine) {
  NvidiaFacts facts;
  for (const auto& device : machine.names("/sys/bus/pci/devices")) {
    const auto directory = "/sys/bus/pci/devices/" + device;
    if (machine.text(directory + "/vendor") == kNvidiaVendor &&
        machine.text(directory + "/class").value_or("").starts_with(kDisplayClass))
      ++facts.devices;
  }
  facts.driver = driver_version(machine.text("/proc/driver/nvidia/version").value_or(""));
  const auto file = nvml_file();
  facts.library = file.has_value();
  constexpr std::string_view kStem = "libnvidia-ml.so.";
  if (const auto at = file.value_or("").rfind(kStem); at != std::string::npos) {
    const auto version = file->substr(at + kStem.size());
    if (version.find('.') != std::string::npos) facts.library_version = version;
  }
  return facts;
}

BootFacts read_boot(const Machine& machine) {
  BootFacts facts;
  facts.up = std::chrono::seconds(std::atol(machine.text("/proc/uptime").value_or("0").c_str()));
  facts.reboot_required = machine.exists("/var/run/reboot-required") || machine.exists("/run/reboot-required");
  facts.packages = machine.text("/var/run/reboot-required.pkgs").value_or("");
  std::replace(facts.packages.begin(), facts.packages.end(), '\n', ' ');
  return facts;
}

NamespaceFacts read_namespaces(const Machine& machine) {
  NamespaceFacts facts;
  facts.most = number_in(machine, "/proc/sys/user/max_user_namespaces");
  if (const auto clone = number_in(machine, "/proc/sys/kernel/unprivileged_userns_clone"))
    facts.unprivileged = *clone != 0;
  facts.restricted_by_apparmor =
      number_in(machine, "/proc/sys/kernel/apparmor_restrict_unprivileged_userns").value_or(0) != 0;
  return facts;
}

}  // namespace berth::cli::doctor
