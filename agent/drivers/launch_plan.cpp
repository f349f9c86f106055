#include "agent/drivers/launch_plan.hpp"

#include <signal.h>

#include <algorithm>
#include <iterator>
#include <map>
#include <utility>

#include "runtime/base/error.hpp"
#include "runtime/docker/arguments.hpp"
#include "runtime/docker/reference.hpp"
#include "runtime/gpu/visibility.hpp"
#include "runtime/os/file.hpp"
#include "runtime/os/machine.hpp"

namespace berth::drivers {
namespace {

// Sockets are made below TMPDIR, by Python's multiprocessing among others, and their paths end at 107 bytes. Without
// it programs use /tmp.
constexpr std::size_t kLongestTmp = 72;

using Variables = std::map<std::string, std::string>;

// Of NAME=VALUE each.
void add(Variables& all, const std::vector<std::string>& variables) {
  for (const auto& variable : variables)
    if (const auto equals = variable.find('='); equals != std::string::npos)
      all[variable.substr(0, equals)] = variable.substr(equals + 1);
}

// What a job finds in its environment, weakest first: the user's login, Berth's and Azure ML's names, what the
// environment sets, what the user asked for. Nothing of the agent's own environment gets through. Azure ML's token
// and endpoint are never set: its SDK would then look for a service that is not there.
Variables variables_of(const model::Job& job, int attempt, const Site& site, const environment::Ready& ready,
                       const os::Identity& identity, const NodeDefaults& defaults) {
  Variables all{
      {"PATH", defaults.path},
      {"HOME", identity.home},
      {"USER", identity.name},
      {"LOGNAME", identity.name},
      {"SHELL", identity.shell.empty() ? "/bin/sh" : identity.shell},
      {"LANG", "C.UTF-8"},
      {"PYTHONUNBUFFERED", "1"},
      {"BERTH_JOB_ID", job.id.value()},
      {"BERTH_ATTEMPT", std::to_string(attempt)},
      {"BERTH_EXPERIMENT", job.request.experiment},
      {"AZUREML_RUN_ID", job.id.value()},
      {"AZUREML_ROOT_RUN_ID", job.id.value()},
      {"AZUREML_EXPERIMENT_NAME", job.request.experiment},
  };
  add(all, site.image_environment);
  if (site.container) {
    all["HOME"] = site.tmp;
    all["SHELL"] = "/bin/sh";
  }
  const auto visible = gpu::visibility_variables(site.gpus);
  for (const auto& [name, value] : visible) all[name] = value;
  if (!site.stop_reason.empty()) all["BERTH_STOP_REASON"] = site.stop_reason;
  if (site.tmp.size() <= kLongestTmp && !site.tmp.empty()) all["TMPDIR"] = site.tmp;
  if (!site.tree.empty()) all["BERTH_CODE_DIR"] = site.tree;
  for (const auto& [name, value] : ready.variables) all[name] = value;
  add(all, docker::with_arguments({}, site.docker_args).environment);
  for (const auto& [name, value] : job.request.environment_variables) all[name] = value;
  if (!site.gpus.empty())  // "0" would be another job's
    for (const auto& [name, value] : visible) all[name] = value;
  if (!ready.path_prefix.empty()) all["PATH"] = ready.path_prefix + ":" + all["PATH"];
  return all;
}

// Outputs are collected from its own directory: what it writes into the image's is gone with the container.
std::string directory_in_container(const model::Job& job, const Site& site) {
  if (!job.request.working_directory.empty()) return job.request.working_directory;
  return job.request.outputs.empty() && !site.image_directory.empty() ? site.image_directory : site.scratch;
}

std::string working_directory_of(const model::Job& job, const Site& site) {
  if (site.tree.empty() && site.container) return directory_in_container(job, site);
  if (site.tree.empty()) return job.request.working_directory;
  if (job.request.working_directory.empty()) return site.tree;
  return os::join(site.tree, job.request.working_directory);
}

constexpr std::uint32_t kWeightOfCpu = 100;  // the kernel's default weight
constexpr std::uint32_t kLargestWeight = 10'000;
constexpr ByteSize kLeastErrandMemory = 2_GiB;  // on a machine that has at least twice as much
constexpr std::uint32_t kErrandPids = 256;

os::Limits limits_of(const model::JobRequest& request) {
  const auto& resources = request.resources;
  os::Limits limits;
  if (resources.memory.bytes() > 0) limits.memory = resources.memory.bytes();
  if (request.limits.cpus) limits.cpu_milli = resources.cpu_milli;
  limits.pids = request.limits.pids;
  limits.cpu_weight = std::clamp(resources.cpu_milli * kWeightOfCpu / 1000, 1U, kLargestWeight);
  return limits;
}

bool was_killed(const os::Exit& exit) { return exit.signalled ? exit.status == SIGKILL : exit.status != 0; }

}  // namespace

namespace {

// What docker_args say of it counts more, as with Azure ML.
void fill_in(model::ContainerRequest& container, ByteSize shm_size) {
  docker::ContainerSpec spec;
  spec.shm_size = container.shm_size.value_or(shm_size);
  container.shm_size = docker::with_arguments(std::move(spec), {container.docker_args}).shm_size;
}

}  // namespace

void fill_in(model::JobRequest& request, const NodeDefaults& defaults) {
  if (!request.stop.grace) request.stop.grace = defaults.stop_grace;
  if (request.resources.memory.bytes() == 0 && defaults.memory) request.resources.memory = *defaults.memory;
  if (!request.limits.pids) request.limits.pids = defaults.pids;
  if (!request.limits.tmp) request.limits.tmp = defaults.tmp;
  if (model::in_container(request.environment)) fill_in(request.container, defaults.shm_size);
}

void check_credentials(const model::JobRequest& request) {
  const auto& registries = request.container.registries;
  const auto& image = request.environment.image;
  if (registries.empty() || image.empty() || image == "cpu" || image == "gpu") return;
  const auto registry = docker::parse_reference(image).registry;
  if (std::find(registries.begin(), registries.end(), registry) == registries.end())
    throw Error(Code::invalid,
                "the registry credentials are for " + registries.front() + ", the image is of " + registry,
                "the registry is what its name begins with; docker.io where it begins with none");
}

shim::Launch plan_launch(const model::Job& job, int attempt, const Site& site, const environment::Ready& ready,
                         const os::Identity& identity, bool switch_user, const NodeDefaults& defaults) {
  shim::Launch launch;
  launch.job_id = job.id.value();
  launch.command = job.request.command;
  for (const auto& [name, value] : variables_of(job, attempt, site, ready, identity, defaults))
    launch.environment.push_back(name + "=" + value);
  launch.working_directory = working_directory_of(job, site);
  if (switch_user || site.container) launch.identity = identity;
  launch.overlay = site.overlay;
  launch.cgroup = site.cgroup;
  launch.limits = limits_of(job.request);
  launch.devices = site.devices;
  if (job.request.limits.tmp) launch.tmp = shim::Tmp{site.tmp, *job.request.limits.tmp};
  launch.network = job.request.limits.network && defaults.network;
  launch.core_dumps = defaults.core_dumps;
  launch.nice = defaults.nice;
  launch.goes_first = !launch.limits.memory;
  launch.protection = site.protection;
  launch.timeout = job.request.timeout;
  launch.stop_signal = job.request.stop.signal;
  launch.stop_grace = job.request.stop.grace.value_or(defaults.stop_grace);
  launch.log_cap = job.request.log_cap.value_or(defaults.log_cap);
  return launch;
}

namespace {

// Of a file, whose last line ends as lines do.
std::string as_variable(std::string value) {
  while (value.ends_with('\n') || value.ends_with('\r')) value.pop_back();
  return value;
}

bool is_secret(const std::string& variable) {
  const auto equals = std::min(variable.find('='), variable.size());
  return model::is_secret(std::string_view(variable).substr(0, equals),
                          std::string_view(variable).substr(std::min(equals + 1, variable.size())));
}

}  // namespace

void set_secrets_apart(shim::Launch& launch, const model::JobRequest& request, const std::vector<std::string>& shown,
                       const Site& site, const model::JobSecrets& secrets) {
  auto& apart = launch.secrets;
  std::ranges::copy_if(launch.environment, std::back_inserter(apart.environment), is_secret);
  std::erase_if(launch.environment, is_secret);
  for (const auto& [name, use] : request.secrets) {
    const auto value = secrets.values.find(name);
    if (value == secrets.values.end())
      throw Error(Code::corrupt, "the job's secret " + name + " is not here", "submit it again");
    const bool is_ours =
        !site.gpus.empty() && std::ranges::any_of(gpu::visibility_variables(site.gpus), [&](const auto& one) {
          return one.first == name;  // as in variables_of()
        });
    if (use.variable && !is_ours)
      apart.environment.push_back(name + "=" + (use.file ? as_variable(value->second) : value->second));
    if (use.file) apart.files[name] = value->second;
  }
  if (launch.command != shown) apart.command = std::exchange(launch.command, shown);
  if (apart.empty()) return;
  launch.secret_place = shim::SecretPlace{site.secrets, false};
  if (!site.secrets.empty()) launch.environment.push_back("BERTH_SECRETS=" + site.secrets);
}

os::Limits errand_limits(const model::JobRequest& request) {
  auto limits = limits_of(request);
  const ByteSize least(std::min(kLeastErrandMemory.bytes(), os::machine_memory() / 2));
  limits.memory = std::max(request.resources.memory, least).bytes();
  limits.pids = std::max(request.limits.pids.value_or(kErrandPids), 16U);
  limits.cpu_weight = kWeightOfCpu / 2;
  return limits;
}

model::Ending ending_of(const shim::Ended& ended, const model::JobRequest& request, const std::string& canceled_by) {
  if (ended.stopped_because == shim::kStoppedTimedOut)
    return model::TimedOut{request.timeout.value_or(std::chrono::milliseconds(0))};
  if (ended.stopped_because == shim::kStoppedCanceled) return model::Canceled{canceled_by};
  if (ended.stopped_because == shim::kStoppedDrain) return model::Preempted{model::Preempted::Cause::drain};
  if (ended.stopped_because == shim::kStoppedShutdown) return model::Preempted{model::Preempted::Cause::shutdown};
  if (const auto* not_started = std::get_if<shim::NotStarted>(&ended.outcome))
    return model::StartFailed{not_started->exit_code, not_started->reason};
  const auto& exit = std::get<os::Exit>(ended.outcome);
  if (ended.out_of_memory_kills > 0 && was_killed(exit))
    return model::OutOfMemory{request.resources.memory, ended.peak_memory};
  if (exit.signalled) return model::Signalled{exit.status};
  return model::Exited{exit.status};
}

model::Usage usage_of(const shim::Ended& ended) {
  model::Usage usage;
  usage.user_cpu = ended.user_cpu;
  usage.system_cpu = ended.system_cpu;
  usage.peak_memory = ended.peak_memory;
  usage.io_read = ended.io_read;
  usage.io_written = ended.io_written;
  return usage;
}

}  // namespace berth::drivers
