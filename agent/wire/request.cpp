#include "agent/wire/request.hpp"

#include <nlohmann/json.hpp>

#include "agent/wire/secrets.hpp"
#include "runtime/base/json_fields.hpp"
#include "runtime/base/text.hpp"

namespace berth::model {
namespace {

void describe_resources(Fields& fields, Resources& resources) {
  fields.field("cpu_milli", resources.cpu_milli, "CPUs, in thousandths.");
  fields.field("memory_bytes", resources.memory, "Memory; 0: no claim.");
  fields.field("gpus", resources.gpus, "GPUs.");
  fields.field("slots", resources.slots, "Places among the jobs that run at a time.");
  fields.field("gpu_memory_bytes", resources.gpu_memory,
               "This much memory of each GPU, beside others who say so; without it they are had alone.",
               {.left_out = true});
}

}  // namespace

void describe(Fields& fields, Resources& resources) {
  fields.named("Resources", "Amounts of what jobs share.");
  describe_resources(fields, resources);
}

void describe(Fields& fields, StopRequest& stop) {
  fields.named("Stop", "How a job is asked to stop before it is killed.");
  fields.field("signal", stop.signal, "The number of the signal that asks it.", {.least = 1, .most = 64});
  fields.field("grace_ms", stop.grace, "From there to SIGKILL; null: the node's default.");
}

void describe(Fields& fields, LimitRequest& limits) {
  fields.named("Limits", "What a job may use at most, beside the memory that it asks for.");
  fields.field("cpus", limits.cpus, "The CPUs asked for are also the most it gets.");
  fields.field("pids", limits.pids, "Processes and threads; null: the node's default.");
  fields.field("tmp_bytes", limits.tmp,
               "Size of a TMPDIR in memory, which counts as the job's; null: the node's default.");
  fields.field("network", limits.network, "false: none but a loopback device of its own.");
}

void describe(Fields& fields, SecretUse& use) {
  fields.named("SecretUse", "Where a job finds a secret of its own.");
  fields.field("file", use.file, "As a file of its name below $BERTH_SECRETS.");
  fields.field("variable", use.variable, "As a variable.");
}

void describe(Fields& fields, EnvironmentRequest& environment) {
  fields.named("EnvironmentRequest", "What a job's command runs in, as its user asks for it.");
  fields.field("kind", environment.kind, "What makes it.");
  fields.field("python", environment.python,
               "user_managed: an absolute path, or a name for PATH; venv: the version wanted, such as 3.11.",
               {.left_out = true});
  fields.field("file", environment.file, "Which of the files is the one asked for.", {.left_out = true});
  fields.field("files", environment.files, "Contents by relative path, with everything that they include.",
               {.left_out = true});
  fields.field("image", environment.image, "A reference, or cpu or gpu for the node's own choice.", {.left_out = true});
  fields.field("context", environment.context, "A snapshot of the directory that a Dockerfile is built in.",
               {.left_out = true});
  fields.field("dockerfile", environment.dockerfile, "The Dockerfile's path in there.", {.left_out = true});
}

void describe(Fields& fields, JobRequest& request) {
  fields.named("StoredJobRequest", "A job request as the agent keeps it, without what of it is secret.");
  wire::describe_request(fields, request);
  wire::describe_secret_names(fields, request);
  fields.field("secrets_mark", request.secrets_mark, "Tells whether another request has the same secrets.",
               {.left_out = true});
  fields.field("lock_of_image", request.environment.of_image,
               "Whether its lock is an image's, once that was looked at.", {.left_out = true});
  fields.field("priority", request.priority, "Higher starts first.", {.least = kMinPriority, .most = kMaxPriority});
  fields.field("held", request.held, "It does not start before it is released.");
}

}  // namespace berth::model

namespace berth::wire {
namespace {

// Of the credentials that a request came with.
struct RegistryName {
  std::string registry;
};
void describe(Fields& fields, RegistryName& name) {
  fields.named("RegistryName", "A registry that a job brought credentials of its own for.");
  fields.field("registry", name.registry, "A host, with its port where it has one.");
}

void describe_registries(Fields& fields, std::vector<std::string>& registries) {
  std::vector<RegistryName> names;
  for (const auto& registry : registries) names.push_back({registry});
  fields.field("registry_credentials", names, "The registries alone.", {.left_out = true});
  if (!fields.reads()) return;
  registries.clear();
  for (auto& name : names) registries.push_back(std::move(name.registry));
}

}  // namespace

// Azure ML's resources tell of the container, too.
void describe_request(Fields& fields, model::JobRequest& request) {
  fields.field("submission_id", request.submission_id,
               "Made by the client, 32 lower-case hexadecimal digits: the same again is the same job.");
  fields.field("name", request.display_name, "A name to show; may be empty.");
  fields.field("experiment", request.experiment, "The group of runs that it belongs to.");
  fields.field("tags", request.tags, "Tags of the run.");
  fields.field("command", request.command, "The program and its arguments; no shell in between.", {.required = true});
  fields.field("environment_variables", request.environment_variables, "Those of the job, beside the node's.");
  fields.field("snapshot", request.snapshot,
               "The code (POST /v1/snapshots); null: it runs in working_directory as it is.");
  fields.field("working_directory", request.working_directory,
               "With a snapshot a path within it, \"\" for its root; without, an absolute path, in a container one in "
               "there and \"\" the image's own.");
  fields.field("properties", request.properties, "Where the code is from, under Azure ML's and MLflow's names.");
  fields.field("diff", request.diff, "What the working tree differed from its commit by (POST /v1/diffs).");
  fields.field("environment", request.environment, "What the command runs in; without it the machine as it is.");
  const auto resources = [&](Fields& members) {
    model::describe_resources(members, request.resources);
    members.field("shm_size_bytes", request.container.shm_size,
                  "/dev/shm of its container; without it the node's default.", {.left_out = true});
    members.field("docker_args", request.container.docker_args,
                  "Options of `docker run` for its container, as in a shell; what is not allowed of them is refused.",
                  {.left_out = true});
  };
  fields.object("resources", resources, "What is kept for it, and the most memory it gets.");
  fields.field("timeout_ms", request.timeout, "It is stopped when it runs longer; null: never.");
  fields.field("retries", request.retries, "How often it is started again, by cause.", {.least = 0});
  fields.field("limits", request.limits, "What it may use at most.");
  fields.field("stop", request.stop, "How it is asked to stop.");
  fields.field("log_cap_bytes", request.log_cap, "The largest log, head and tail are kept; null: the node's default.");
  fields.field("outputs", request.outputs,
               "Directories, relative to the working directory, that are collected at the end.");
}

void describe_secret_names(Fields& fields, model::JobRequest& request) {
  fields.field("secrets", request.secrets, "By name, where the job finds each of its secrets.", {.left_out = true});
  fields.field("hidden", request.hidden,
               "JSON pointers of the texts that stand here without a login, token or assigned secret.",
               {.left_out = true});
  describe_registries(fields, request.container.registries);
}

void describe(Fields& fields, SubmittedRequest& submitted) {
  fields.named("JobRequest", "What is asked for. Null is the same as a field that is not there.");
  auto& [request, attachments] = submitted;
  describe_request(fields, request);
  describe_attachments(fields, attachments);
  fields.field("priority", request.priority, "Higher starts first.",
               {.least = model::kMinPriority, .most = model::kMaxPriority});
  fields.field("held", request.held, "It does not start before it is released.");
}

model::JobRequest request_from(const nlohmann::json& json) {
  auto request = message_from<model::JobRequest>(json, "job request", Unknown::refused);
  auto& environment = request.environment;
  if (environment.kind != model::EnvironmentRequest::Kind::lock)
    environment.of_image.reset();
  else if (!environment.of_image)
    environment.of_image = is_lock_of_image(environment);
  return request;
}

model::EnvironmentRequest environment_request_from(const nlohmann::json& json) {
  auto environment = message_from<model::EnvironmentRequest>(json, "environment", Unknown::refused);
  validate(environment);
  return environment;
}

}  // namespace berth::wire
