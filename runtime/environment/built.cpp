#include "runtime/environment/built.hpp"

#include <nlohmann/json.hpp>

#include "runtime/base/error.hpp"
#include "runtime/base/json.hpp"
#include "runtime/base/text.hpp"
#include "runtime/environment/lock_text.hpp"

namespace berth::environment {
namespace {

using Json = nlohmann::json;
using Variables = std::vector<std::pair<std::string, std::string>>;

constexpr int kVersion = 1;
constexpr JsonBounds kResultBounds{.bytes = kLongestResult, .values = kLockBounds.values, .depth = kLockBounds.depth};
constexpr std::size_t kLongestRest = 1U << 20;  // of a result, but for its lock: jobs' records hold it
constexpr std::size_t kLongestPath = 4096;

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

Json facts_of(const Built& built) { return built.facts.empty() ? Json::object() : read_json(built.facts); }

bool is_within(const std::string& path, const std::string& directory) {
  return path.starts_with(directory + "/") && path.find("/../") == std::string::npos && !path.ends_with("/..");
}

void take_result(Built& built, std::string_view text, const std::string& prefix) {
  const auto result = read_json(text, kResultBounds);
  result.at("interpreter").get_to(built.interpreter);
  result.at("path_prefix").get_to(built.path_prefix);
  built.variables = variables_of(result.at("variables"));
  result.at("python_version").get_to(built.python_version);
  result.at("packages").get_to(built.packages);
  built.lock = result.at("lock").dump();
  if (built.lock.size() > kLockBounds.bytes) throw Error(Code::too_large, "its lock is larger than 1 MiB");
  if (text.size() > built.lock.size() + kLongestRest)
    throw Error(Code::too_large, "without its lock it is larger than 1 MiB");
  for (const auto* path : {&built.interpreter, &built.path_prefix})
    if (!path->empty() && (!is_within(*path, prefix) || path->size() > kLongestPath))
      throw Error(Code::invalid, printable(path->substr(0, kLongestPath)) + " is not in " + prefix);
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
            {"lock", read_json(built.lock)},
            {"canonical", read_json(built.canonical)},
            {"image", built.image},
            {"facts", facts_of(built)},
            {"only_in_boot", built.only_in_boot}};
  if (built.owner) json["owner"] = *built.owner;
  return json.dump();
}

Built built_from_text(std::string_view text) {
  try {
    const auto json = read_json(text);
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
  } catch (const Error& failure) {
    throw Error(Code::corrupt, "the record of an environment is malformed: " + failure.message());
  }
}

std::set<std::string> images_below(const std::string& canonical) {
  const auto json = json_or_null(canonical);
  std::set<std::string> below;
  if (!json.is_object()) return below;
  if (json.contains("image") && json["image"].is_string()) below.insert(json["image"].get<std::string>());
  for (const auto& base : json.value("bases", Json::object()))
    if (base.is_string()) below.insert(base.get<std::string>());
  below.erase("");
  return below;
}

void add_result(Built& built, std::string_view result, const std::string& prefix) {
  try {
    take_result(built, result, prefix);
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
