#pragma once

// Follows a recipe as Builds does, without its supervisor; and the conda tools of this machine.

#include <cstdlib>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "runtime/async/tool.hpp"
#include "runtime/environment/conda_recipe.hpp"
#include "runtime/os/file.hpp"
#include "runtime/os/spawn.hpp"

namespace berth::environment {

inline const std::string kFixture = BERTH_CONDA_FIXTURE;
inline const std::string kChannel = "file://" + kFixture + "/channel";
inline const std::string kWheels = kFixture + "/channel/wheels";

// A directory with a cache, in which builds run.
class CondaSite {
 public:
  struct Built {
    int status = 0;
    std::string output;  // both streams, as in the build's log
    nlohmann::json result;
    std::string prefix;
  };

  Built build(const Recipe& recipe, const std::string& name) const {
    const auto directory = root_ / name;
    for (const auto* folder : {"", "/build", "/tmp"}) os::make_directories(directory + folder);
    for (const auto& [file, text] : recipe.files)
      os::write_file(directory + "/build/" + file, text, 0600, os::Durable::no);
    os::write_file(directory + "/script", recipe.script, 0600, os::Durable::no);
    std::vector<std::string> variables{"PREFIX=" + directory + "/prefix", "HOME=" + directory + "/build",
                                       "TMPDIR=" + directory + "/tmp", "PATH=/usr/local/bin:/usr/bin:/bin",
                                       "CACHE=" + root_.path() + "/cache"};
    for (const auto& [variable, value] : recipe.variables) variables.push_back(variable + "=" + value);
    os::SpawnOptions options{.arguments = {"/bin/sh", "-c", "exec sh -eu ../script 2>&1"},
                             .environment = std::move(variables),
                             .working_directory = directory + "/build",
                             .new_session = true};
    const auto finished = async::run_tool_here(std::move(options), {std::chrono::seconds(120)});
    const auto result = os::read_file_if_exists(directory + "/build/result.json");
    return {finished.exit.signalled ? 128 + finished.exit.status : finished.exit.status, finished.output,
            result ? nlohmann::json::parse(*result) : nlohmann::json(), directory + "/prefix"};
  }

  std::string path() const { return root_.path(); }

 private:
  os::TempDir root_{"berth-conda"};
};

// Whole paths: MICROMAMBA, those on PATH, and the fixture's.
inline std::vector<std::string> conda_tools() {
  std::vector<std::string> tools;
  const auto* named = std::getenv("MICROMAMBA");
  if (named != nullptr && *named == '/') tools.emplace_back(named);
  const auto* path = std::getenv("PATH");
  for (const auto* name : {"micromamba", "mamba", "conda"}) {
    NodeConda node;
    node.tool = name;
    node.path = path == nullptr ? "" : path;
    try {
      tools.push_back(find_conda_tool(node).path);
    } catch (const std::exception&) {
      // This machine has none of this name.
    }
  }
  tools.push_back(kFixture + "/bin/micromamba");
  return tools;
}

// Only what this machine has is asked: the channel and the wheels of the fixture.
inline NodeConda test_node(const std::string& tool) {
  NodeConda node;
  node.tool = tool;
  node.mirrors = {{"test", kChannel}};
  node.default_channels = {"test"};
  node.find_links = {kWheels};
  node.offline = true;
  return node;
}

}  // namespace berth::environment
