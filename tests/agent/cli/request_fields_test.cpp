// Each field of a job request is known to the help of `berth submit`, to `berth show` and to openapi.yaml. A new field
// fails here until it is, or until it is listed below with the reason why not.

#include <doctest/doctest.h>

#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>

#include "agent/cli/job_text.hpp"
#include "agent/cli/submission.hpp"
#include "agent/wire/job.hpp"
#include "agent/wire/openapi.hpp"
#include "runtime/base/json_fields.hpp"
#include "runtime/base/json_schema.hpp"
#include "tests/agent/cli/sample.hpp"

using namespace berth;
using namespace berth::cli;
using nlohmann::ordered_json;
using Told = std::map<std::string, std::string>;

namespace {

// What of `berth submit` sets a field: an option's name, or in words what else does.
const Told kSetBy{
    {"submission_id", "made for each submission"},
    {"name", "--name"},
    {"experiment", "--experiment"},
    {"tags", "--tag"},
    {"command", "COMMAND"},
    {"environment_variables", "--env"},
    {"snapshot", "--code"},
    {"working_directory", "--workdir"},
    {"properties", "read from the code's git repository"},
    {"diff", "read from the code's git repository"},
    {"environment/kind", "follows from the option that is given"},
    {"environment/python", "--python"},
    {"environment/file", "--conda"},
    {"environment/files", "--requirements"},
    {"environment/image", "--image"},
    {"environment/context", "--dockerfile"},
    {"environment/dockerfile", "--dockerfile"},
    {"resources/cpu_milli", "--cpus"},
    {"resources/memory_bytes", "--memory"},
    {"resources/gpus", "--gpus"},
    {"resources/slots", "--slots"},
    {"resources/gpu_memory_bytes", "--gpu-memory"},
    {"resources/shm_size_bytes", "--shm-size"},
    {"resources/docker_args", "--docker-args"},
    {"timeout_ms", "--timeout"},
    {"retries", "--retry"},
    {"limits/cpus", "--cpus"},
    {"limits/pids", "--pids"},
    {"limits/tmp_bytes", "--tmp"},
    {"limits/network", "--no-network"},
    {"stop/signal", "--stop-signal"},
    {"stop/grace_ms", "--grace"},
    {"log_cap_bytes", "--log-cap"},
    {"outputs", "--output"},
    {"secrets/*/value", "--secret"},
    {"secrets/*/base64", "--secret"},
    {"secrets/*/file", "--secret"},
    {"secrets/*/variable", "--secret-env"},
    {"registry_credentials/*/registry", "--registry-credentials"},
    {"registry_credentials/*/username", "--registry-credentials"},
    {"registry_credentials/*/password", "--registry-credentials"},
    {"registry_credentials/*/identity_token", "--registry-credentials"},
    {"priority", "--priority"},
    {"held", "--hold"},
};

// What `berth show` does not show, and why.
const Told kNotShown{
    {"submission_id", "it tells nobody anything; --json has it"},
    {"properties", "those that are known are shown, by name"},
    {"environment/files", "they are long; the record of what was made of them is shown"},
    {"secrets/*/value", "no answer has it"},
    {"secrets/*/base64", "no answer has it"},
    {"registry_credentials/*/username", "no answer has it"},
    {"registry_credentials/*/password", "no answer has it"},
    {"registry_credentials/*/identity_token", "no answer has it"},
};

ordered_json resolved(const ordered_json& schemas, ordered_json schema) {
  if (schema.contains("anyOf")) schema = schema["anyOf"][0];
  while (schema.contains("$ref")) schema = schemas.at(schema["$ref"].get<std::string>().substr(21));
  return schema;
}

// The fields that hold values: groups and lists of objects count by what is in them.
void collect(const ordered_json& schemas, const ordered_json& schema, const std::string& prefix,
             std::map<std::string, ordered_json>& leaves) {
  for (const auto& [name, told] : schema.at("properties").items()) {
    const auto member = resolved(schemas, told);
    const auto path = prefix + name;
    auto inner = ordered_json();
    if (member.contains("items")) inner = resolved(schemas, member["items"]);
    if (member.contains("additionalProperties") && member["additionalProperties"].is_object())
      inner = resolved(schemas, member["additionalProperties"]);
    if (member.contains("properties"))
      collect(schemas, member, path + "/", leaves);
    else if (inner.contains("properties"))
      collect(schemas, inner, path + "/*/", leaves);
    else
      leaves[path] = member;
  }
}

std::map<std::string, ordered_json> leaves_of_request() {
  const auto schemas = wire::api_schemas();
  std::map<std::string, ordered_json> leaves;
  collect(schemas, schemas.at("JobRequest"), "", leaves);
  return leaves;
}

// A value that no field has by default.
nlohmann::json sample_of(const ordered_json& schema) {
  const auto type =
      schema.contains("type") && schema["type"].is_array() ? schema["type"][0] : schema.value("type", ordered_json());
  if (schema.contains("enum")) return schema["enum"].back().is_null() ? schema["enum"][0] : schema["enum"].back();
  if (schema.contains("pattern")) return std::string(64, 'a');
  if (type == "integer") return 7;
  if (type == "array") return nlohmann::json::array({"sample"});
  if (type == "object") return {{"sample", sample_of(schema["additionalProperties"])}};
  return "sample";
}

nlohmann::json base_record() {
  auto job = sample::queued();
  job.request.environment.kind = model::EnvironmentRequest::Kind::image;
  job.request.secrets = {{"*", {true, false}}};
  job.request.container.registries = {"registry.example.org"};
  job.request.resources.gpus = 1;
  job.request.properties = {{"mlflow.source.git.commit", "abc"}};
  return json_of(wire::JobRecord{job, {}});
}

// The record with another value at this path.
nlohmann::json with(const std::string& path, const ordered_json& schema) {
  auto record = base_record();
  std::string pointer = "/" + path;
  if (const auto list = pointer.find("registry_credentials/*"); list != std::string::npos)
    pointer.replace(pointer.find('*'), 1, "0");
  auto& place = record[nlohmann::json::json_pointer(pointer)];
  place = place.is_boolean() ? nlohmann::json(!place.get<bool>()) : sample_of(schema);
  return record;
}

std::string page_of(const nlohmann::json& record) {
  return job_page(record_from_json(record.dump()), sample::noon(), {});
}

Description submit_takes() {
  Submission submission;
  Options options("submit", "", "");
  declare(options, submission);
  Description description;
  Common common;
  common.description = &description;
  options.parse({}, common);
  return description;
}

bool takes(const Description& description, const std::string& name) {
  for (const auto& group : description.groups)
    for (const auto& entry : group.entries)
      if (("," + entry.names + ",").find("," + name + ",") != std::string::npos || entry.names.starts_with(name))
        return true;
  return false;
}

}  // namespace

TEST_CASE("the help of `berth submit` has an option for each field of a job request") {
  const auto description = submit_takes();
  for (const auto& [path, schema] : leaves_of_request()) {
    INFO("field '", path,
         "' of a job request: kSetBy here says which option of `berth submit` sets it "
         "(agent/cli/submission.cpp), or what else does");
    const auto set_by = kSetBy.find(path);
    REQUIRE(set_by != kSetBy.end());
    CAPTURE(set_by->second);
    const bool is_option = set_by->second.starts_with('-') || set_by->second == "COMMAND";
    CHECK((!is_option || takes(description, set_by->second)));
  }
}

TEST_CASE("`berth show` shows each field of a job request that is not as it is by default") {
  const auto plain = page_of(base_record());
  for (const auto& [path, schema] : leaves_of_request()) {
    if (kNotShown.contains(path)) continue;
    INFO("field '", path,
         "' of a job request: `berth show` (agent/cli/job_text.cpp) shows it, or kNotShown here says why not");
    CHECK(page_of(with(path, schema)) != plain);
  }
}

TEST_CASE("what is listed here are fields that there are") {
  const auto leaves = leaves_of_request();
  for (const auto* list : {&kSetBy, &kNotShown})
    for (const auto& [path, why] : *list) {
      CAPTURE(path);
      CHECK(leaves.contains(path));
    }
}

TEST_CASE("openapi.yaml has each field of a job request") {
  std::stringstream document;
  document << std::ifstream(BERTH_OPENAPI).rdbuf();
  const auto text = document.str();
  for (const auto& path : paths_of(wire::api_schemas(), "JobRequest")) {
    const auto name = path.substr(path.rfind('/') + 1);
    INFO("field '", path, "' of a job request: build/…/bin/berth-openapi agent/api/openapi.yaml writes it there");
    CHECK((text.find(" " + name + ":") != std::string::npos || text.find('"' + name + '"') != std::string::npos));
  }
}
