#include "runtime/environment/built.hpp"

#include <nlohmann/json.hpp>

#include "runtime/base/error.hpp"
#include "runtime/base/text.hpp"

namespace berth::environment {
namespace {

using Json = nlohmann::json;
using Variables = std::vector<std::pair<std::string, std::string>>;

constexpr int kVersion = 1;

Json object_of(const Variables& variables) {
  auto object = Json::object();
  for (const auto& [name, value] : variables) object[name] = value;
  return object;
}

Variables variables_of(const Json& object) {
  Variables variables;
  for (const auto& [name, value] : object.items()) {
    const auto text = value.get<std::string>();
    if (name.empty() || name.find('=') != std::string::npos || (name + text).find('\0') != std::string::npos)
      throw Error(Code::invalid, "'" + printable(name) + "' is no variable's name");
    variables.emplace_back(name, text);
  }
  return variables;
}

Json facts_of(const Built& built) { return built.facts.empty() ? Json::object() : Json::parse(built.facts); }

bool is_within(const std::string& path, const std::string& directory) {
  return path.starts_with(directory + "/") && path.find("/../") == std::string::npos &&
         !path.ends_with("/..");
}

void take_result(Built& built, const Json& result, const std::string& prefix) {
  result.at("interpreter").get_to(built.interpreter);
  result.at("path_prefix").get_to(built.path_prefix);
  built.variables = variables_of(result.at("variables"));
  result.at("python_version").get_to(built.python_version);
  result.at("packages").get_to(built.packages);
  built.lock = result.at("lock").dump();
  for (const auto* path : {&built.interpreter, &built.path_prefix})
    if (!path->empty() && !is_within(*path, prefix))
      throw Error(Code::invalid, printable(*path) + " is not in " + prefix);
}

}  // namespace

std::string to_text(const Built& built) {
  Json json{{"version", kVersion},
            {"digest", built.digest.hex()},
            {"kind", built.kind},
            {"words", built.words},
            {"created", to_unix_micros(built.created)},
            {"build_ms", built.build_time.count()},
            {"bytes", built.bytes},
            {"interpreter", built.interpreter},
            {"path_prefix", built.path_prefix},
            {"variables", object_of(built.variables)},
            {"python_version", built.python_version},
            {"packages", built.packages},
            {"lock", Json::parse(built.lock)},
            {"canonical", Json::parse(built.canonical)},
            {"image", built.image},
            {"facts", facts_of(built)},
            {"only_in_boot", built.only_in_boot}};
  if (built.owner) json["owner"] = *built.owner;
  return json.dump();
}

Built built_from_text(std::string_view text) {
  try {
    const auto json = Json::parse(text);
    Built built;
    const auto digest = parse_digest(json.at("digest").get<std::string>());
    if (!digest) throw Error(Code::corrupt, "its digest is malformed");
    built.digest = *digest;
    json.at("kind").get_to(built.kind);
    json.at("words").get_to(built.words);
    built.created = from_unix_micros(json.at("created").get<std::int64_t>());
    built.build_time = std::chrono::milliseconds(json.at("build_ms").get<std::int64_t>());
    json.at("bytes").get_to(built.bytes);
    json.at("interpreter").get_to(built.interpreter);
    json.at("path_prefix").get_to(built.path_prefix);
    built.variables = variables_of(json.at("variables"));
    json.at("python_version").get_to(built.python_version);
    json.at("packages").get_to(built.packages);
    built.lock = json.at("lock").dump();
    built.canonical = json.at("canonical").dump();
    built.image = json.value("image", "");
    if (json.contains("owner")) built.owner = json.at("owner").get<uid_t>();
    if (const auto facts = json.value("facts", Json::object()); !facts.empty()) built.facts = facts.dump();
    json.at("only_in_boot").get_to(built.only_in_boot);
    return built;
  } catch (const Json::exception& failure) {
    throw Error(Code::corrupt, std::string("the record of an environment is malformed: ") + failure.what());
  }
}

void add_result(Built& built, std::string_view result, const std::string& prefix) {
  try {
    take_result(built, Json::parse(result), prefix);
  } catch (const Json::exception& failure) {
    throw Error(Code::invalid, "the build's result.json is malformed: " + printable(failure.what()));
  } catch (Error& failure) {
    failure.add_context("reading the build's result.json");
    throw;
  }
}

Ready ready_from(const Built& built) {
  Ready ready;
  ready.interpreter = built.interpreter;
  ready.path_prefix = built.path_prefix;
  ready.variables = built.variables;
  ready.lock = built.lock;
  ready.digest = built.digest;
  ready.image = built.image;
  Json record{{"kind", built.kind},
              {"environment", built.digest.hex()},
              {"words", built.words},
              {"interpreter", built.interpreter},
              {"version", built.python_version},
              {"packages", built.packages}};
  record.update(facts_of(built));
  ready.record = record.dump();
  return ready;
}

}  // namespace berth::environment
