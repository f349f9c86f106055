#include "runtime/environment/conda_tool.hpp"

#include <doctest/doctest.h>
#include <sys/stat.h>

#include "runtime/base/error.hpp"
#include "runtime/environment/conda_recipe.hpp"
#include "runtime/os/file.hpp"

using namespace berth;
using namespace berth::environment;

namespace {

constexpr const char* kInfo = R"({"platform": "linux-64", "mamba version": "2.0.5"})";

std::string program(const std::string& path, const std::string& script) {
  os::make_directories(os::parent_of(path));
  os::write_file(path, "#!/bin/sh\n" + script, 0755, os::Durable::no);
  return path;
}

std::string tool(const std::string& path, const std::string& version) {
  return program(path,
                 "case $1 in --version) echo '" + version + "';; *) echo '{\"platform\": \"linux-64\"}';; esac\n");
}

NodeConda node_at(const std::string& path) {
  NodeConda node;
  node.path = path;
  return node;
}

Error refusal(const NodeConda& node) {
  try {
    return Error(Code::internal, "found " + find_conda_tool(node, std::chrono::seconds(1)).path);
  } catch (const Error& error) {
    CHECK(!error.hint().empty());
    return error;
  }
}

bool says(const Error& error, const std::string& text) { return error.message().find(text) != std::string::npos; }

}  // namespace

TEST_CASE("each tool is known by what it prints") {
  using Kind = CondaTool::Kind;
  struct Row {
    std::string name;
    std::string version;
    Kind kind;
    std::string words;
    bool shares;
  };
  for (const auto& row : {
           Row{"micromamba", "2.0.5\n", Kind::micromamba, "micromamba 2.0.5", true},
           {"micromamba", "1.5.8\n", Kind::micromamba, "micromamba 1.5.8", false},
           {"mamba", "2.1.1\n", Kind::mamba, "mamba 2.1.1", true},
           {"mamba", "mamba 1.4.7\nconda 23.5.0\n", Kind::mamba, "mamba 1.4.7", false},
           {"conda", "conda 24.1.2\n", Kind::conda, "conda 24.1.2", false},
           {"conda", "conda 4.12.0\n", Kind::conda, "conda 4.12.0", false},
           {"conda", "2.0.5\n", Kind::micromamba, "micromamba 2.0.5", true},
           {"micromamba", "2.0.5.rc1\n", Kind::micromamba, "micromamba 2.0.5", true},
           {"micromamba", "2.1\n", Kind::micromamba, "micromamba 2.1.0", true},
       }) {
    CAPTURE(row.version);
    const auto found = recognise_conda_tool(row.name, row.version, kInfo);
    REQUIRE(found);
    CHECK(found->kind == row.kind);
    CHECK(found->name_and_version() == row.words);
    CHECK(found->platform == "linux-64");
    CHECK(found->shares_cache() == row.shares);
  }
  for (const auto* version : {"", "hello", "conda", "-1.0"}) CHECK(!recognise_conda_tool("conda", version, kInfo));
  for (const auto* info : {"", "[]", "{}", R"({"platform": 1})"})
    CHECK(!recognise_conda_tool("conda", "conda 24.1", info));
}

TEST_CASE("micromamba comes before mamba before conda, wherever they are; a configured one before all") {
  const os::TempDir directory;
  tool(directory / "a/conda", "conda 24.1.2");
  const auto mamba = tool(directory / "b/mamba", "2.1.1");
  auto node = node_at((directory / "a") + ":" + (directory / "b"));
  CHECK(find_conda_tool(node).path == mamba);
  const auto micromamba = tool(directory / "b/micromamba", "2.0.5");
  CHECK(find_conda_tool(node).path == micromamba);
  node.tool = "conda";
  CHECK(find_conda_tool(node).path == directory / "a/conda");
  node.tool = mamba;
  CHECK(find_conda_tool(node).path == mamba);
}

TEST_CASE("a tool that is broken or too old does not hide the next, and alone it is told") {
  const os::TempDir directory;
  const auto broken = program(directory / "a/micromamba", "echo oops 1>&2; exit 3\n");
  const auto fine = tool(directory / "b/micromamba", "2.0.5");
  CHECK(find_conda_tool(node_at((directory / "a") + ":" + (directory / "b"))).path == fine);

  auto node = node_at("");
  node.tool = broken;
  CHECK(refusal(node).code() == Code::unavailable);
  CHECK(says(refusal(node), "does not work: oops"));
  node.tool = program(directory / "quiet", "exit 0\n");
  CHECK(says(refusal(node), "does not answer as micromamba, mamba or conda do"));
  node.tool = tool(directory / "conda", "conda 4.6.14");
  CHECK(refusal(node).code() == Code::unsupported);
  CHECK(says(refusal(node), "conda 4.6.14"));
  CHECK(says(refusal(node), "cannot read .conda packages"));
  node.tool = program(directory / "hangs", "sleep 1000\n");
  CHECK(refusal(node).code() == Code::timeout);
}

TEST_CASE("no tool is told with what to do") {
  auto node = node_at("/nowhere");
  node.tool = "no-such-conda";
  CHECK(refusal(node).code() == Code::not_found);
  CHECK(says(refusal(node), "'no-such-conda'"));
  node.tool = "/nowhere/conda";
  CHECK(says(refusal(node), "does not exist"));
}

TEST_CASE("the tool is asked once, and again after it changed") {
  const os::TempDir directory;
  const auto path = tool(directory / "micromamba", "2.0.5");
  const auto asked = "echo >>" + (directory / "asked") + "\n";
  const auto answers = os::read_file(path);
  program(path, asked + answers);
  auto node = node_at("");
  node.tool = path;
  Condas condas(node);
  const FromFiles conda{kCondaKind, "", "e.yml", {{"e.yml", "dependencies: [numpy]"}}};
  const auto first = condas.recipe(conda);
  CHECK(condas.recipe(conda).canonical == first.canonical);
  CHECK(os::read_file(directory / "asked").size() == 2);  // --version, info
  program(path, asked + answers + "# newer\n");
  condas.recipe(conda);
  CHECK(os::read_file(directory / "asked").size() == 4);
  os::remove_file(path);
  CHECK_THROWS_AS(condas.recipe(conda), Error);
}
