#include "runtime/environment/pyproject.hpp"

#define TOML_HEADER_ONLY 1
#include <toml++/toml.h>

#include "runtime/base/error.hpp"
#include "runtime/base/text.hpp"

namespace berth::environment {
namespace {

toml::table parse(const std::string& text) {
  try {
    return toml::parse(text);
  } catch (const toml::parse_error& failure) {
    throw Error(Code::invalid, "pyproject.toml cannot be read: " + printable(failure.description()) + " in line " +
                                   std::to_string(failure.source().begin.line));
  }
}

void refuse_dynamic(const toml::table& project) {
  const auto* dynamic = project["dynamic"].as_array();
  if (dynamic == nullptr) return;
  for (const auto& entry : *dynamic)
    if (entry.value<std::string>() == "dependencies")
      throw Error(Code::unsupported, "pyproject.toml leaves its dependencies to the build tool (dynamic)",
                  "write them into [project] dependencies, or use a requirements file");
}

}  // namespace

Project read_pyproject(const std::string& text) {
  const auto document = parse(text);
  const auto* table = document["project"].as_table();
  if (table == nullptr)
    throw Error(Code::invalid, "pyproject.toml has no [project]",
                "write its dependencies there, or use a requirements file");
  refuse_dynamic(*table);
  Project project;
  project.requires_python = (*table)["requires-python"].value_or(std::string());
  const auto* dependencies = (*table)["dependencies"].as_array();
  if (dependencies == nullptr) return project;
  const Files no_files;
  RequirementsReader reader(no_files, Logins::taken_out);
  for (const auto& entry : *dependencies) {
    const auto line = entry.value<std::string>();
    if (!line) throw Error(Code::invalid, "a dependency in pyproject.toml is no text");
    reader.read_requirement(*line, {"pyproject.toml", entry.source().begin.line});
  }
  project.requirements = reader.take();
  return project;
}

}  // namespace berth::environment
