#include "agent/cli/submission.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include "agent/cli/code.hpp"
#include "agent/cli/registry_credentials.hpp"
#include "agent/cli/settings.hpp"
#include "agent/jobfile/environment.hpp"
#include "agent/wire/request.hpp"
#include "runtime/base/error.hpp"
#include "runtime/base/json_fields.hpp"
#include "runtime/os/file.hpp"
#include "runtime/os/random.hpp"

namespace berth::cli {
namespace {

constexpr std::uint64_t kLargestEnvironmentFile = 1U << 20;
constexpr const char* kPythonHelp =
    "interpreter to use exactly as it is: a path, or a name for PATH. `python` and `python3` in the command "
    "mean it. "
    "Default for a command that is a .py file: python3";

std::string random_id() { return os::random_hex(16); }

std::optional<std::string> environment_variable(const std::string& name) {
  const char* value = std::getenv(name.c_str());
  return value == nullptr ? std::nullopt : std::optional<std::string>(value);
}

// Where a Dockerfile is to be built.
void add_context(Agent& agent, model::EnvironmentRequest& environment, const jobfile::Flags& flags,
                 const jobfile::Place& place) {
  if (environment.kind == model::EnvironmentRequest::Kind::dockerfile)
    environment.context = send_context(agent, jobfile::dockerfile_place(flags, place).directory);
}

jobfile::Place place_here() {
  jobfile::Place place;
  place.current_directory = current_directory();
  place.environment_variable = environment_variable;
  place.read_file = [](const std::string& path) { return os::read_file(path, kLargestEnvironmentFile); };
  place.read_input = [] {
    auto text = os::read_all(os::Fd(::fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0)), kLargestEnvironmentFile + 1);
    if (text.size() > kLargestEnvironmentFile)
      throw Error(Code::too_large, "standard input has more than 1 MiB for a secret");
    return text;
  };
  place.is_directory = [](const std::string& path) { return std::filesystem::is_directory(path); };
  return place;
}

}  // namespace

void declare_environment(Options& options, jobfile::Flags& flags) {
  options.option("--python", flags.python, "PATH", kPythonHelp);
  options.option("--conda", flags.conda, "FILE",
                 "conda environment of an environment.yml, made once for all jobs that ask for the same");
  options.option("--requirements", flags.requirements, "FILE",
                 "venv of a requirements.txt or pyproject.toml, likewise; --python then gives the version: 3.11");
  options.option("--image", flags.image, "IMAGE",
                 "run in a container of this Docker image, or of the node's own: cpu or gpu. With --conda the "
                 "environment is added to it");
  options.option("--dockerfile", flags.dockerfile, "DIR", "run in a container of the image that this directory builds");
  options.option("--env-lock", flags.environment_lock, "FILE", "exactly what `berth env lock` has written");
}

std::string environment_of(Agent& agent, const jobfile::Flags& flags) {
  const auto place = place_here();
  auto request = jobfile::environment(flags, place, false);
  add_context(agent, request, flags, place);
  return text_of(request);
}

void declare(Options& options, Submission& submission) {
  auto& flags = submission.flags;
  options.group("Command");
  options.command(flags.command,
                  "the program and its arguments, as they are: no shell in between. A .py file runs with Python");
  options.option("--workdir", flags.working_directory, "DIR",
                 "directory to run in: within the code, or any with --no-code; with an image too, one in there "
                 "(default: the image's own)");
  options.list("-e,--env", flags.environment_variables, "K=V",
               "environment variable of the job; K alone passes on its value here");
  options.list(
      "--secret", flags.secrets, "NAME[=FILE]",
      "secret of the job: what the variable NAME holds here, or what is in FILE (-: standard input). The job has it "
      "as the file $BERTH_SECRETS/NAME, in memory; it is stored sealed, shown by name only, and starred in its log");
  options.list("--secret-env", flags.secret_variables, "NAME[=FILE]",
               "the same, and the job's variable NAME. A variable of --env that is named like a secret (KEY, TOKEN, "
               "PASSWORD, SECRET, CREDENTIAL) or has a URL with a login is kept and shown like one");
  options.group("Environment");
  declare_environment(options, flags);
  options.option(
      "--registry-credentials", submission.registry_credentials, "FILE",
      "credentials of your own for its image's registry: Docker's config.json, or JSON with registry, "
      "username and password. They are stored sealed, and shown by the registry's name only (default: the node's)");
  options.group("Code");
  options.option("--code", submission.code, "DIR", "send this directory instead of the current one");
  options.flag("--no-code", submission.no_code, "send nothing: run in the current directory as it is");
  options.list("--output", flags.outputs, "DIR",
               "collect this directory at the end; ./outputs always is, unless --no-code");
  options.group("Record");
  options.option("--name", flags.name, "TEXT", "name to show");
  options.option("--experiment", flags.experiment, "NAME", "group of runs it belongs to (default: default)");
  options.list("--tag", flags.tags, "K=V", "tag of the run");
  options.group("Resources");
  options.option("--gpus", flags.gpus, "N", "GPUs (default 0)");
  options.option("--gpu-memory", flags.gpu_memory, "SIZE",
                 "share its GPUs with other jobs that say so: this much memory of each (default: has them alone)");
  options.option("--cpus", flags.cpus, "N",
                 "CPUs, kept for it and the most it gets: 2, 0.5 (default: 1 is kept, and what is idle may be used)");
  options.option("--memory", flags.memory, "SIZE",
                 "memory, kept for it and the most it gets: 512M, 4G (default: the node's, else no claim)");
  options.option("--slots", flags.slots, "N", "places among the jobs that run at a time (default 1)");
  options.option("--pids", flags.pids, "N", "most processes and threads (default: the node's)");
  options.option("--shm-size", flags.shm_size, "SIZE",
                 "/dev/shm of its container, as data loaders use it: 8g (default: the node's, 2g)");
  options.option("--docker-args", flags.docker_args, "ARGS",
                 "more options of `docker run` for its container, as one word: '--ipc=host'. What would give it more "
                 "rights than a job has is refused");
  options.option("--tmp", flags.tmp, "SIZE",
                 "a TMPDIR of this size, in memory that counts as the job's (default: the node's, else on disk)");
  options.flag("--no-network", flags.no_network, "run without network");
  options.group("Life");
  options.option("--priority", flags.priority, "N", "higher starts first, -1000 to 1000 (default 0)");
  options.flag("--hold", flags.hold, "do not start before `berth release`");
  options.option("--timeout", flags.timeout, "TIME", "stop it when it runs longer: 90s, 2h30m");
  options.list("--retry", flags.retries, "[CAUSE=]N",
               "start again up to N times when it failed, or for a CAUSE: " + model::all_retry_causes());
  options.option("--stop-signal", flags.stop_signal, "SIGNAL", "what asks it to stop (default TERM)");
  options.option("--grace", flags.grace, "TIME", "from that signal to the kill (default: the node's, 10s)");
  options.option("--log-cap", flags.log_cap, "SIZE", "largest log; head and tail are kept (default: the node's)");
}

Submitted submit(Agent& agent, const Submission& submission, const std::function<void()>& about_to) {
  if (submission.no_code && submission.code)
    throw Error(Code::invalid, "--code and --no-code exclude each other", "give one of them");
  auto place = place_here();
  if (!submission.no_code) {
    place.code_root = code_root(submission.code, place.current_directory, home_directory());
    place.current_directory = std::filesystem::canonical(place.current_directory);  // as code_root is
  }
  auto request = jobfile::to_request(submission.flags, place);
  request.submission_id = random_id();
  model::Attachments attachments;
  attachments.secrets = jobfile::secrets(submission.flags, place);
  if (submission.registry_credentials)
    attachments.registries = read_registry_credentials(*submission.registry_credentials, request.environment);
  add_context(agent, request.environment, submission.flags, place);
  if (place.code_root) return submit_with_code(agent, std::move(request), attachments, *place.code_root, about_to);
  model::validate(request);
  if (about_to) about_to();
  return agent.submit(request, attachments);
}

}  // namespace berth::cli
