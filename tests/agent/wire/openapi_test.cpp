#include "agent/wire/openapi.hpp"

#include <doctest/doctest.h>

#include <fstream>
#include <set>
#include <sstream>

#include "runtime/base/json_schema.hpp"

using namespace berth;
using Json = nlohmann::ordered_json;

namespace {

std::string checked_in() {
  std::stringstream document;
  document << std::ifstream(BERTH_OPENAPI).rdbuf();
  return document.str();
}

}  // namespace

TEST_CASE("openapi.yaml has the messages as they are described") {
  const auto document = checked_in();
  REQUIRE_FALSE(document.empty());
  INFO("build/…/bin/berth-openapi agent/api/openapi.yaml makes it anew");
  CHECK(wire::with_schemas(document) == document);
}

TEST_CASE("each schema that is referred to is there") {
  const auto schemas = wire::api_schemas();
  const auto document = checked_in();
  constexpr std::string_view kPlace = "#/components/schemas/";
  std::size_t references = 0;
  for (auto at = document.find(kPlace); at != std::string::npos; at = document.find(kPlace, at + 1)) {
    const auto begin = at + kPlace.size();
    const auto name = document.substr(begin, document.find_first_of("\"'", begin) - begin);
    CAPTURE(name);
    CHECK(schemas.contains(name));
    ++references;
  }
  CHECK(references > 40);
}

TEST_CASE("a schema tells types, bounds, names, what must be there, and refuses all else") {
  const auto schemas = wire::api_schemas();
  const auto& request = schemas.at("JobRequest");
  CHECK(request.at("required") == Json{"command"});
  CHECK(request.at("additionalProperties") == false);
  CHECK(request.at("properties").at("priority").at("minimum") == -1000);
  CHECK(request.at("properties").at("timeout_ms").at("type") == Json{"integer", "null"});
  CHECK(request.at("properties").at("tags").at("additionalProperties") == Json{{"type", "string"}});
  CHECK(schemas.at("GivenSecret").at("properties").at("value").at("writeOnly") == true);
  CHECK(schemas.at("EnvironmentRequest").at("properties").at("kind").at("enum").at(1) == "user_managed");
  const auto& job = schemas.at("Job");
  CHECK(job.at("properties").at("ending").at("anyOf").at(0).at("$ref") == "#/components/schemas/Ending");
  const std::set<std::string> required(job.at("required").begin(), job.at("required").end());
  CHECK(required.contains("attempts"));
  CHECK_FALSE(required.contains("waiting"));
  CHECK(schemas.at("Ending").at("oneOf").size() == 13);
}

TEST_CASE("each message and each field of one is explained") {
  const auto schemas = wire::api_schemas();
  for (const auto& [name, schema] : schemas.items()) {
    CAPTURE(name);
    CHECK(schema.contains("description"));
    if (!schema.contains("properties")) continue;
    for (const auto& [field, told] : schema.at("properties").items()) {
      CAPTURE(field);
      CHECK((name == "Error" || !told.value("description", "").empty()));
    }
  }
}

TEST_CASE("the paths of a message's fields") {
  const auto paths = paths_of(wire::api_schemas(), "JobRequest");
  const std::set<std::string> all(paths.begin(), paths.end());
  for (const auto* path : {"command", "resources/gpus", "secrets/*/value", "registry_credentials/*/registry"}) {
    CAPTURE(path);
    CHECK(all.contains(path));
  }
}
