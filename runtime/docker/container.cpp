#include "runtime/docker/container.hpp"

#include <cmath>
#include <nlohmann/json.hpp>

#include "runtime/base/error.hpp"
#include "runtime/base/text.hpp"

namespace berth::docker {
namespace {

using Json = nlohmann::json;

// What berth-shim, as the container's first process, does before it is the job's user: becoming that user,
// giving him his directories, and signalling his processes.
const Json kCapabilities = {"SETUID", "SETGID", "KILL", "CHOWN", "FOWNER", "DAC_OVERRIDE"};

const std::string& absolute(const std::string& path) {
  if (!path.starts_with('/')) throw Error(Code::invalid, "the path " + printable(path) + " of a mount is not absolute");
  return path;
}

Json mounts_of(const ContainerSpec& spec) {
  auto mounts = Json::array();
  for (const auto& bind : spec.binds)
    mounts.push_back({{"Type", "bind"},
                      {"Source", absolute(bind.source)},
                      {"Target", absolute(bind.target)},
                      {"ReadOnly", bind.read_only}});
  for (const auto& volume : spec.volumes)
    mounts.push_back({{"Type", "volume"},
                      {"Source", volume.volume},
                      {"Target", absolute(volume.target)},
                      {"ReadOnly", volume.read_only},
                      {"VolumeOptions", {{"NoCopy", true}}}});
  return mounts;
}

Json ulimits_of(const ContainerSpec& spec) {
  auto ulimits = Json::array();
  for (const auto& limit : spec.ulimits)
    ulimits.push_back({{"Name", limit.name}, {"Soft", limit.soft}, {"Hard", limit.hard}});
  return ulimits;
}

void add_limits(Json& host, const ContainerSpec& spec) {
  if (spec.memory) host["Memory"] = host["MemorySwap"] = spec.memory->bytes();
  if (spec.cpus) host["NanoCpus"] = std::llround(*spec.cpus * 1e9);
  if (spec.pids) host["PidsLimit"] = *spec.pids;
  if (!spec.cpuset.empty()) host["CpusetCpus"] = spec.cpuset;
  host["ShmSize"] = spec.shm_size.bytes();
  host["Ulimits"] = ulimits_of(spec);
}

// Images of CUDA ask for all GPUs in their own environment, which an engine whose default runtime is NVIDIA's obeys.
std::vector<std::string> environment_of(const ContainerSpec& spec) {
  std::string gpus;
  for (const auto& id : spec.gpus) gpus += (gpus.empty() ? "" : ",") + id;
  auto environment = spec.environment;
  environment.push_back("NVIDIA_VISIBLE_DEVICES=" + (gpus.empty() ? "void" : gpus));
  return environment;
}

Json host_config(const ContainerSpec& spec) {
  Json host = {{"Mounts", mounts_of(spec)},
               {"NetworkMode", spec.network},
               {"LogConfig", {{"Type", "none"}, {"Config", Json::object()}}},
               {"RestartPolicy", {{"Name", "no"}}},
               {"CapDrop", {"ALL"}},
               {"CapAdd", kCapabilities},
               {"SecurityOpt", {"no-new-privileges"}},
               {"Init", false},
               {"ReadonlyRootfs", spec.read_only_root},
               {"Tmpfs", spec.tmpfs},
               {"ExtraHosts", spec.extra_hosts},
               {"Dns", spec.dns}};
  if (!spec.ipc.empty()) host["IpcMode"] = spec.ipc;
  if (!spec.gpus.empty()) {
    const Json capabilities = Json::array({Json::array({"gpu"})});
    const Json request = {{"DeviceIDs", spec.gpus}, {"Capabilities", capabilities}};
    host["DeviceRequests"] = Json::array({request});
  }
  add_limits(host, spec);
  return host;
}

}  // namespace

std::string to_json(const ContainerSpec& spec) {
  Json body = {{"Image", spec.image},   {"Env", environment_of(spec)},    {"User", spec.user},
               {"Labels", spec.labels}, {"AttachStdin", false},           {"AttachStdout", false},
               {"AttachStderr", false}, {"HostConfig", host_config(spec)}};
  // Nothing of the image runs beside the supervisor: its health check would run as root, whatever user the job is.
  body["Healthcheck"] = {{"Test", {"NONE"}}};
  body["StopSignal"] = "SIGKILL";  // the supervisor hears no other: an engine that shuts down need not wait
  if (!spec.entrypoint.empty()) body["Entrypoint"] = spec.entrypoint;
  if (!spec.entrypoint.empty() || !spec.command.empty()) body["Cmd"] = spec.command;
  if (!spec.working_directory.empty()) body["WorkingDir"] = spec.working_directory;
  if (!spec.hostname.empty()) body["Hostname"] = spec.hostname;
  return body.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace berth::docker
