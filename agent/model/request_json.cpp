#include "agent/model/request_json.hpp"

#include <limits>

#include "agent/model/environment_json.hpp"
#include "agent/model/json.hpp"

namespace berth::model {
namespace {

using nlohmann::json;
using std::chrono::milliseconds;

constexpr const char* kLockOfImage = "lock_of_image";  // in stored requests alone

StopRequest stop_from_json(const json& value) {
  JsonReader fields(value, "stop");
  StopRequest result;
  result.signal = fields.whole<int>("signal", result.signal, 1, 64);
  result.grace = fields.duration("grace_ms");
  fields.refuse_others();
  return result;
}

json to_json(const LimitRequest& limits) {
  return {{"cpus", limits.cpus},
          {"pids", or_null(limits.pids, [](std::uint32_t pids) { return pids; })},
          {"tmp_bytes", or_null(limits.tmp, [](ByteSize size) { return size.bytes(); })},
          {"network", limits.network}};
}

LimitRequest limits_from_json(const json& value) {
  JsonReader fields(value, "limits");
  LimitRequest result;
  result.cpus = fields.flag("cpus", result.cpus);
  if (fields.find("pids") != nullptr) result.pids = fields.whole<std::uint32_t>("pids", 0);
  if (fields.find("tmp_bytes") != nullptr) result.tmp = ByteSize(fields.whole<std::uint64_t>("tmp_bytes", 0));
  result.network = fields.flag("network", result.network);
  fields.refuse_others();
  return result;
}

std::map<std::string, int> retries_from(JsonReader& fields) {
  std::map<std::string, int> result;
  const auto* value = fields.find("retries");
  if (value == nullptr) return result;
  if (!value->is_object()) fields.refuse("retries", "must be an object of numbers");
  for (const auto& [cause, number] : value->items())
    result[cause] = fields.whole_of<int>("retries", number, 0, std::numeric_limits<int>::max());
  return result;
}

json resources_json(const JobRequest& request) {
  auto object = to_json(request.resources);
  const auto& container = request.container;
  if (container.shm_size) object["shm_size_bytes"] = container.shm_size->bytes();
  if (!container.docker_args.empty()) object["docker_args"] = container.docker_args;
  return object;
}

// Azure ML's resources tell of the container, too.
void read_resources(const json& value, JobRequest& request) {
  JsonReader fields(value, "resources");
  auto& result = request.resources;
  result.cpu_milli = fields.whole<std::uint32_t>("cpu_milli", result.cpu_milli);
  result.memory = ByteSize(fields.whole<std::uint64_t>("memory_bytes", result.memory.bytes()));
  result.gpus = fields.whole<std::uint16_t>("gpus", result.gpus);
  result.slots = fields.whole<std::uint16_t>("slots", result.slots);
  result.gpu_memory = ByteSize(fields.whole<std::uint64_t>("gpu_memory_bytes", result.gpu_memory.bytes()));
  if (fields.find("shm_size_bytes") != nullptr)
    request.container.shm_size = ByteSize(fields.whole<std::uint64_t>("shm_size_bytes", 0));
  request.container.docker_args = fields.text("docker_args");
  fields.refuse_others();
}

// Their secrets were taken out before (registry_credentials.hpp).
json registries_json(const std::vector<std::string>& registries) {
  auto list = json::array();
  for (const auto& registry : registries) list.push_back({{"registry", registry}});
  return list;
}

json to_json(const std::map<std::string, SecretUse>& secrets) {
  auto object = json::object();
  for (const auto& [name, use] : secrets) object[name] = {{"file", use.file}, {"variable", use.variable}};
  return object;
}

std::map<std::string, SecretUse> secrets_from(JsonReader& fields) {
  std::map<std::string, SecretUse> secrets;
  const auto* value = fields.find("secrets");
  if (value == nullptr) return secrets;
  if (!value->is_object()) fields.refuse("secrets", "must be an object");
  for (const auto& [name, entry] : value->items()) {
    JsonReader use(entry, "secrets");
    secrets[name] = {use.flag("file", true), use.flag("variable", false)};
    use.refuse_others();
  }
  return secrets;
}

std::vector<std::string> registries_from(JsonReader& fields) {
  std::vector<std::string> registries;
  const auto* value = fields.find("registry_credentials");
  if (value == nullptr) return registries;
  if (!value->is_array()) fields.refuse("registry_credentials", "must be a list");
  for (const auto& entry : *value) {
    JsonReader one(entry, "registry_credentials");
    registries.push_back(one.text("registry"));
    one.refuse_others();
  }
  return registries;
}

}  // namespace

void write_request(json& object, const JobRequest& request) {
  object["submission_id"] = request.submission_id;
  object["name"] = request.display_name;
  object["experiment"] = request.experiment;
  object["tags"] = request.tags;
  object["command"] = request.command;
  object["environment_variables"] = request.environment_variables;
  if (!request.secrets.empty()) object["secrets"] = to_json(request.secrets);
  if (!request.hidden.empty()) object["hidden"] = request.hidden;
  object["snapshot"] = or_null(request.snapshot, to_hex);
  object["working_directory"] = request.working_directory;
  object["properties"] = request.properties;
  object["diff"] = or_null(request.diff, to_hex);
  object["environment"] = to_json(request.environment);
  object["resources"] = resources_json(request);
  object["timeout_ms"] = or_null(request.timeout, [](milliseconds limit) { return limit.count(); });
  object["retries"] = request.retries;
  object["limits"] = to_json(request.limits);
  object["stop"] = {{"signal", request.stop.signal},
                    {"grace_ms", or_null(request.stop.grace, [](milliseconds grace) { return grace.count(); })}};
  object["log_cap_bytes"] = or_null(request.log_cap, [](ByteSize size) { return size.bytes(); });
  object["outputs"] = request.outputs;
  if (const auto& registries = request.container.registries; !registries.empty())
    object["registry_credentials"] = registries_json(registries);
}

JobRequest read_request(JsonReader& fields) {
  JobRequest request;
  request.submission_id = fields.text("submission_id");
  request.display_name = fields.text("name");
  request.experiment = fields.text("experiment", request.experiment);
  request.tags = fields.text_map("tags");
  request.command = fields.texts("command");
  request.environment_variables = fields.text_map("environment_variables");
  request.secrets = secrets_from(fields);
  request.hidden = fields.texts("hidden");
  request.secrets_mark = fields.text("secrets_mark");
  request.snapshot = fields.digest("snapshot");
  request.working_directory = fields.text("working_directory");
  request.properties = fields.text_map("properties");
  request.diff = fields.digest("diff");
  if (const auto* environment = fields.find("environment")) request.environment = environment_from_json(*environment);
  if (const auto* resources = fields.find("resources")) read_resources(*resources, request);
  request.timeout = fields.duration("timeout_ms");
  request.retries = retries_from(fields);
  if (const auto* limits = fields.find("limits")) request.limits = limits_from_json(*limits);
  if (const auto* stop = fields.find("stop")) request.stop = stop_from_json(*stop);
  if (fields.find("log_cap_bytes") != nullptr)
    request.log_cap = ByteSize(fields.whole<std::uint64_t>("log_cap_bytes", 0));
  request.outputs = fields.texts("outputs");
  request.container.registries = registries_from(fields);
  request.priority = fields.whole<int>("priority", 0, kMinPriority, kMaxPriority);
  request.held = fields.flag("held", false);
  return request;
}

json to_json(const JobRequest& request) {
  json object = json::object();
  write_request(object, request);
  if (!request.secrets_mark.empty()) object["secrets_mark"] = request.secrets_mark;
  if (request.environment.of_image) object[kLockOfImage] = *request.environment.of_image;
  object["priority"] = request.priority;
  object["held"] = request.held;
  return object;
}

EnvironmentRequest environment_request_from_json(const json& value) {
  auto environment = environment_from_json(value);
  validate(environment);
  return environment;
}

JobRequest request_from_json(const json& value) {
  JsonReader fields(value, "job request");
  fields.require("command");
  auto request = read_request(fields);
  auto& environment = request.environment;
  const bool known = fields.find(kLockOfImage) != nullptr;
  if (environment.kind == EnvironmentRequest::Kind::lock)
    environment.of_image = known ? fields.flag(kLockOfImage, false) : is_lock_of_image(environment);
  fields.refuse_others();
  return request;
}

}  // namespace berth::model
