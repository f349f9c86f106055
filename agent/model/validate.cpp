#include <algorithm>
#include <array>

#include "agent/model/job.hpp"
#include "agent/model/registry_credentials.hpp"
#include "runtime/base/error.hpp"
#include "runtime/base/text.hpp"

namespace berth::model {
namespace {

using std::chrono::milliseconds;

constexpr std::size_t kMaxCommandBytes = 1U << 20;  // the kernel's limit for arguments and environment is larger
constexpr std::size_t kMaxName = 255;
constexpr std::size_t kMaxEntries = 100;  // tags; properties; outputs
constexpr std::size_t kMaxTagValue = 5000;
constexpr std::size_t kMaxPropertyValue = 64U << 10;
constexpr std::size_t kMaxPath = 4095;
constexpr std::size_t kMaxEnvironmentFiles = 1U << 20;
constexpr int kMaxRetries = 100;
constexpr int kMaxSignal = 64;
constexpr milliseconds kMaxTimeout = std::chrono::hours(24 * 3650);
constexpr milliseconds kMaxGrace = std::chrono::hours(24);
constexpr ByteSize kMinLogCap = 64_KiB;
constexpr ByteSize kMinTmp = 64_KiB;
constexpr ByteSize kMinShm = 64_KiB;
constexpr ByteSize kMaxShm{1ULL << 50};
constexpr std::size_t kMaxDockerArgs = 64U << 10;
constexpr std::uint32_t kMaxPids = 4U << 20;  // the kernel's own

[[noreturn]] void refuse(const std::string& field, const std::string& complaint) {
  throw Error(Code::invalid, "job request: '" + field + "' " + complaint);
}

bool has_control(std::string_view text) {
  return std::any_of(text.begin(), text.end(),
                     [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
}

// JSON has no bytes that are not UTF-8, and C strings end at a NUL.
void check_text(const std::string& field, std::string_view text) {
  if (text.find('\0') != std::string_view::npos) refuse(field, "contains a NUL byte");
  if (!is_utf8(text)) refuse(field, "is not UTF-8 text");
}

void check_line(const std::string& field, std::string_view text, std::size_t most) {
  check_text(field, text);
  if (has_control(text)) refuse(field, "contains control characters");
  if (text.size() > most) refuse(field, "is longer than " + std::to_string(most) + " bytes");
}

void check_submission_id(const std::string& id) {
  const bool valid = id.size() == 32 && std::all_of(id.begin(), id.end(), [](char c) {
                       return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
                     });
  if (!valid) refuse("submission_id", "must be 32 lower-case hexadecimal digits");
}

void check_command(const JobRequest& request) {
  if (request.command.empty() || request.command.front().empty()) refuse("command", "must not be empty");
  std::size_t bytes = 0;
  for (const auto& argument : request.command) {
    check_text("command", argument);
    bytes += argument.size() + 1;
  }
  for (const auto& [key, value] : request.environment_variables) {
    if (key.empty()) refuse("environment_variables", "has an empty name");
    check_line("environment_variables", key, kMaxName);
    if (key.find_first_of("= ") != std::string::npos)
      refuse("environment_variables", "has the invalid name '" + printable(key) + "'");
    check_text("environment_variables", value);
    bytes += key.size() + value.size() + 2;
  }
  if (bytes >= kMaxCommandBytes) refuse("command", "and 'environment_variables' are over 1 MiB together");
}

void check_map(const std::string& field, const std::map<std::string, std::string>& map, std::size_t most_value) {
  if (map.size() > kMaxEntries) refuse(field, "has more than " + std::to_string(kMaxEntries) + " entries");
  for (const auto& [key, value] : map) {
    if (key.empty()) refuse(field, "has an empty name");
    check_line(field, key, kMaxName);
    check_text(field, value);
    if (value.size() > most_value)
      refuse(field, "has a value longer than " + std::to_string(most_value) + " bytes: " + printable(key));
  }
}

// No empty parts and no dots: the one spelling of a path within a tree.
bool is_inner_path(std::string_view path) {
  while (true) {
    const auto slash = path.find('/');
    const auto part = path.substr(0, slash);
    if (part.empty() || part == "." || part == "..") return false;
    if (slash == std::string_view::npos) return true;
    path.remove_prefix(slash + 1);
  }
}

void check_paths(const JobRequest& request) {
  const auto& directory = request.working_directory;
  check_text("working_directory", directory);
  if (directory.size() > kMaxPath) refuse("working_directory", "is too long");
  if (request.snapshot && !directory.empty() && !is_inner_path(directory))
    refuse("working_directory", "must be a path within the snapshot, without '.' and '..'");
  const bool own_of_image = directory.empty() && in_container(request.environment);
  if (!request.snapshot && !own_of_image && (directory.empty() || directory.front() != '/'))
    refuse("working_directory", "must be an absolute path when there is no snapshot");
  if (request.outputs.size() > kMaxEntries) refuse("outputs", "has more than 100 entries");
  if (!request.snapshot && !request.outputs.empty() && !directory.empty() && in_container(request.environment))
    refuse("outputs", "cannot be collected from a directory of the image: leave out 'working_directory'");
  for (const auto& output : request.outputs) {
    check_text("outputs", output);
    if (output.size() > kMaxPath || !is_inner_path(output))
      refuse("outputs", "must be paths within the working directory, without '.' and '..'");
  }
}

void check_files(const EnvironmentRequest& environment) {
  std::size_t bytes = 0;
  for (const auto& [name, text] : environment.files) {
    check_line("environment", name, kMaxPath);
    if (!is_inner_path(name)) refuse("environment", "must have relative names of files, without '.' and '..'");
    check_text("environment", text);
    bytes += name.size() + text.size();
  }
  if (environment.files.size() > kMaxEntries) refuse("environment", "has more than 100 files");
  if (bytes > kMaxEnvironmentFiles) refuse("environment", "has files of over 1 MiB together");
  if (environment.file.empty() != environment.files.empty())
    refuse("environment", "must have both 'files' and the 'file' that is asked for, or neither");
  if (!environment.file.empty() && !environment.files.contains(environment.file))
    refuse("environment", "has no file '" + printable(environment.file) + "'");
}

void check_python(const EnvironmentRequest& environment) {
  const auto& python = environment.python;
  check_line("environment", python, kMaxPath);
  if (environment.kind != EnvironmentRequest::Kind::user_managed) return;
  if (python.empty()) refuse("environment", "of kind 'user_managed' needs a python");
  if (python.front() != '/' && python.find('/') != std::string::npos)
    refuse("environment", "must name python by an absolute path, or by a name without '/'");
}

// Each kind has its own fields; one that it does not know was surely meant to do something.
void check_fields(const EnvironmentRequest& environment) {
  using Field = EnvironmentKind::Field;
  const auto& kind = traits(environment.kind);
  const auto field = [&](const char* what, bool there, Field wanted) {
    const auto words = "of kind '" + std::string(kind.name) + "' ";
    if (there && wanted == Field::none) refuse("environment", words + "takes no '" + what + "'");
    if (!there && wanted == Field::needed) refuse("environment", words + "needs '" + what + "'");
  };
  field("python", !environment.python.empty(), kind.python);
  field("file", !environment.file.empty(), kind.file);
  field("image", !environment.image.empty(), kind.image);
  field("context", environment.context.has_value(), kind.context);
  field("dockerfile", !environment.dockerfile.empty(), kind.context);
}

}  // namespace

void validate(const EnvironmentRequest& environment) {
  check_python(environment);
  check_fields(environment);
  check_files(environment);
  check_line("environment", environment.image, kMaxPath);
  check_line("environment", environment.dockerfile, kMaxPath);
  if (!environment.dockerfile.empty() && !is_inner_path(environment.dockerfile))
    refuse("environment", "must name the dockerfile by a path within its directory, without '.' and '..'");
}

namespace {

void check_limits(const JobRequest& request) {
  if (request.resources.slots < 1) refuse("resources", "must ask for at least 1 slot");
  if (request.resources.gpu_memory.bytes() > 0 && request.resources.gpus == 0)
    refuse("resources", "has 'gpu_memory_bytes' without 'gpus': say how many GPUs");
  if (request.priority < kMinPriority || request.priority > kMaxPriority)
    refuse("priority", "must be from " + std::to_string(kMinPriority) + " to " + std::to_string(kMaxPriority));
  if (request.timeout && (*request.timeout <= milliseconds(0) || *request.timeout > kMaxTimeout))
    refuse("timeout_ms", "must be more than zero and at most ten years");
  for (const auto& [cause, times] : request.retries) {
    if (std::find(kRetryCauses.begin(), kRetryCauses.end(), cause) == kRetryCauses.end())
      refuse("retries",
             "has the unknown cause '" + printable(cause.substr(0, kMaxName)) + "'; there are " + all_retry_causes());
    if (times < 0 || times > kMaxRetries) refuse("retries", "must be from 0 to 100");
  }
  if (request.stop.signal < 1 || request.stop.signal > kMaxSignal) refuse("stop", "has no valid signal");
  const auto grace = request.stop.grace.value_or(milliseconds(0));
  if (grace < milliseconds(0) || grace > kMaxGrace) refuse("stop", "must have a grace time of at most one day");
  if (request.limits.pids && (*request.limits.pids < 1 || *request.limits.pids > kMaxPids))
    refuse("limits", "must have from 1 to 4194304 pids");
  if (request.limits.tmp && *request.limits.tmp < kMinTmp) refuse("limits", "must have a tmp of at least 64 KiB");
  if (request.log_cap && *request.log_cap < kMinLogCap) refuse("log_cap_bytes", "must be at least 64 KiB");
}

void check_container(const JobRequest& request) {
  const auto& container = request.container;
  if (container == ContainerRequest{}) return;
  if (!in_container(request.environment))
    refuse(container.registries.empty() ? "resources" : "registry_credentials",
           "is for containers (shm_size_bytes, docker_args, registry_credentials), and this job runs in none: "
           "they go with an environment of kind 'image' or 'dockerfile', or the lock of one");
  if (container.shm_size && (*container.shm_size < kMinShm || *container.shm_size > kMaxShm))
    refuse("resources", "must have from 65536 to 2^50 'shm_size_bytes'");
  check_text("resources", container.docker_args);
  if (container.docker_args.size() > kMaxDockerArgs) refuse("resources", "has over 64 KiB of 'docker_args'");
  for (const auto& registry : container.registries)
    if (!is_registry(registry)) refuse("registry_credentials", "must name hosts such as registry.example.org:5000");
}

}  // namespace

void validate(const JobRequest& request) {
  check_submission_id(request.submission_id);
  check_line("name", request.display_name, kMaxName);
  if (request.experiment.empty()) refuse("experiment", "must not be empty");
  check_line("experiment", request.experiment, kMaxName);
  check_map("tags", request.tags, kMaxTagValue);
  check_map("properties", request.properties, kMaxPropertyValue);
  check_command(request);
  check_paths(request);
  validate(request.environment);
  check_limits(request);
  check_container(request);
}

}  // namespace berth::model
