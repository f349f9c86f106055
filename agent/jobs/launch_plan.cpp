#include "agent/jobs/launch_plan.hpp"

#include <map>

#include "runtime/os/file.hpp"

namespace berth::jobs {
namespace {

using Variables = std::map<std::string, std::string>;

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
      {"CUDA_VISIBLE_DEVICES", ""},
      {"BERTH_JOB_ID", job.id},
      {"BERTH_ATTEMPT", std::to_string(attempt)},
      {"BERTH_EXPERIMENT", job.request.experiment},
      {"AZUREML_RUN_ID", job.id},
      {"AZUREML_ROOT_RUN_ID", job.id},
      {"AZUREML_EXPERIMENT_NAME", job.request.experiment},
  };
  if (!site.tree.empty()) all["BERTH_CODE_DIR"] = site.tree;
  for (const auto& [name, value] : ready.variables) all[name] = value;
  for (const auto& [name, value] : job.request.environment_variables) all[name] = value;
  if (!ready.path_prefix.empty()) all["PATH"] = ready.path_prefix + ":" + all["PATH"];
  return all;
}

std::string working_directory_of(const model::Job& job, const Site& site) {
  if (site.tree.empty()) return job.request.working_directory;
  if (job.request.working_directory.empty()) return site.tree;
  return os::join(site.tree, job.request.working_directory);
}

}  // namespace

shim::Launch plan_launch(const model::Job& job, int attempt, const Site& site, const environment::Ready& ready,
                         const os::Identity& identity, bool switch_user, const NodeDefaults& defaults) {
  shim::Launch launch;
  launch.job_id = job.id;
  launch.command = job.request.command;
  for (const auto& [name, value] : variables_of(job, attempt, site, ready, identity, defaults))
    launch.environment.push_back(name + "=" + value);
  launch.working_directory = working_directory_of(job, site);
  if (switch_user) launch.identity = identity;
  launch.overlay = site.overlay;
  launch.cgroup = site.cgroup;
  launch.timeout = job.request.timeout;
  launch.stop_signal = job.request.stop.signal;
  launch.stop_grace = job.request.stop.grace;
  launch.log_cap = job.request.log_cap.value_or(defaults.log_cap);
  return launch;
}

model::Ending ending_of(const shim::Ended& ended, const model::Job& job) {
  if (ended.stopped_because == "timed_out")
    return model::TimedOut{job.request.timeout.value_or(std::chrono::milliseconds(0))};
  if (ended.stopped_because == "canceled") return model::Canceled{job.canceled_by};
  if (const auto* not_started = std::get_if<shim::NotStarted>(&ended.outcome))
    return model::StartFailed{not_started->exit_code, not_started->reason};
  const auto& exit = std::get<os::Exit>(ended.outcome);
  if (exit.signalled) return model::Signalled{exit.status};
  return model::Exited{exit.status};
}

model::Usage usage_of(const shim::Ended& ended) { return {ended.user_cpu, ended.system_cpu, ended.peak_memory}; }

}  // namespace berth::jobs
