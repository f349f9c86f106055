#include "agent/jobfile/flags.hpp"

#include <algorithm>

#include "agent/jobfile/environment.hpp"
#include "agent/jobfile/parse.hpp"
#include "agent/jobfile/working_directory.hpp"
#include "runtime/base/error.hpp"
#include "runtime/base/text.hpp"

namespace berth::jobfile {
namespace {

constexpr const char* kPythonOfEnvironment = "python";
// Collected without being asked for wherever the job has a tree of its own.
constexpr const char* kOutputs = "outputs";

bool is_script(const std::string& program) { return program.size() > 3 && program.ends_with(".py"); }

void set_command(model::JobRequest& request, const Flags& flags, const Place& place) {
  if (flags.command.empty())
    throw Error(Code::invalid, "no command given", "write it after the options: berth run -- python3 train.py");
  request.command = flags.command;
  const bool script = is_script(flags.command.front());
  request.environment = environment(flags, place, script);
  if (!script) return;
  const bool own = request.environment.kind == model::EnvironmentRequest::Kind::user_managed;
  request.command.insert(request.command.begin(), own ? request.environment.python : kPythonOfEnvironment);
}

std::map<std::string, std::string> tags(const Flags& flags) {
  std::map<std::string, std::string> tags;
  for (const auto& text : flags.tags) tags.insert_or_assign(pair("--tag", text).first, pair("--tag", text).second);
  return tags;
}

std::map<std::string, std::string> variables(const Flags& flags, const Place& place) {
  std::map<std::string, std::string> variables;
  for (const auto& text : flags.environment_variables) {
    if (text.find('=') != std::string::npos) {
      auto [name, value] = pair("--env", text);
      variables.insert_or_assign(std::move(name), std::move(value));
    } else if (const auto value = place.environment_variable(text)) {
      variables.insert_or_assign(text, *value);
    } else {
      throw Error(Code::invalid, "--env: the variable '" + printable(text) + "' is not set here",
                  "give its value: --env " + printable(text) + "=VALUE");
    }
  }
  return variables;
}

model::Resources resources(const Flags& flags, model::Resources wanted) {
  if (flags.cpus) wanted.cpu_milli = cpus("--cpus", *flags.cpus);
  if (flags.memory) wanted.memory = size("--memory", *flags.memory);
  if (flags.gpus) wanted.gpus = static_cast<std::uint16_t>(whole_number("--gpus", *flags.gpus, 0, 1024));
  if (flags.gpu_memory) wanted.gpu_memory = size("--gpu-memory", *flags.gpu_memory);
  if (flags.gpu_memory && !flags.gpus && wanted.gpus == 0) wanted.gpus = 1;
  if (flags.slots) wanted.slots = static_cast<std::uint16_t>(whole_number("--slots", *flags.slots, 0, 65'535));
  return wanted;
}

model::LimitRequest limits(const Flags& flags) {
  model::LimitRequest limits;
  limits.cpus = flags.cpus.has_value();
  if (flags.pids) limits.pids = static_cast<std::uint32_t>(whole_number("--pids", *flags.pids, 1, 4 << 20));
  if (flags.tmp) limits.tmp = size("--tmp", *flags.tmp);
  limits.network = !flags.no_network;
  return limits;
}

model::ContainerRequest container(const Flags& flags, const model::EnvironmentRequest& environment) {
  const auto* flag = flags.shm_size ? "--shm-size" : flags.docker_args ? "--docker-args" : nullptr;
  if (flag != nullptr && !model::in_container(environment))
    throw Error(Code::invalid, std::string(flag) + ": this job runs in no container",
                "it goes with --image, --dockerfile, or the --env-lock of one");
  model::ContainerRequest container;
  if (flags.shm_size) container.shm_size = size("--shm-size", *flags.shm_size);
  container.docker_args = flags.docker_args.value_or("");
  return container;
}

std::string directory_in_image(const Flags& flags) {
  if (flags.working_directory && !flags.working_directory->starts_with('/'))
    throw Error(Code::invalid, "--workdir: '" + printable(*flags.working_directory) + "' is not an absolute path",
                "with --no-code it is a directory in the image; leave it out for the image's own");
  return flags.working_directory.value_or("");
}

std::string working_directory(const Flags& flags, const Place& place, const model::EnvironmentRequest& environment) {
  if (!place.code_root && model::in_container(environment)) return directory_in_image(flags);
  if (!place.code_root) return absolute_path(flags.working_directory.value_or("."), place.current_directory);
  if (!flags.working_directory) return path_within(place.current_directory, *place.code_root).value_or("");
  if (const auto inside = relative_path(*flags.working_directory)) return *inside;
  if (flags.working_directory->starts_with('/'))
    if (const auto inside = path_within(absolute_path(*flags.working_directory, "/"), *place.code_root)) return *inside;
  throw Error(Code::invalid,
              "--workdir: '" + printable(*flags.working_directory) + "' is not inside the code (" +
                  printable(*place.code_root) + ")",
              "give a path below it, or --no-code to run in a directory as it is");
}

std::vector<std::string> outputs(const Flags& flags, const Place& place) {
  std::vector<std::string> directories;
  if (place.code_root) directories.push_back(kOutputs);
  for (const auto& text : flags.outputs) {
    const auto directory = relative_path(text);
    if (!directory || directory->empty())
      throw Error(Code::invalid, "--output: '" + printable(text) + "' is not a directory inside the job's own",
                  "give a path relative to where the job runs, such as checkpoints");
    if (std::find(directories.begin(), directories.end(), *directory) == directories.end())
      directories.push_back(*directory);
  }
  return directories;
}

}  // namespace

model::JobRequest to_request(const Flags& flags, const Place& place) {
  model::JobRequest request;
  set_command(request, flags, place);
  request.display_name = flags.name;
  if (!flags.experiment.empty()) request.experiment = flags.experiment;
  request.tags = tags(flags);
  request.environment_variables = variables(flags, place);
  request.working_directory = working_directory(flags, place, request.environment);
  request.resources = resources(flags, request.resources);
  request.limits = limits(flags);
  request.container = container(flags, request.environment);
  if (flags.priority)
    request.priority =
        static_cast<int>(whole_number("--priority", *flags.priority, model::kMinPriority, model::kMaxPriority));
  if (flags.timeout) request.timeout = duration("--timeout", *flags.timeout);
  request.retries = retries("--retry", flags.retries);
  if (flags.stop_signal) request.stop.signal = signal_number("--stop-signal", *flags.stop_signal);
  if (flags.grace) request.stop.grace = duration("--grace", *flags.grace);
  if (flags.log_cap) request.log_cap = size("--log-cap", *flags.log_cap);
  request.outputs = outputs(flags, place);
  request.held = flags.hold;
  return request;
}

}  // namespace berth::jobfile
