#include "runtime/environment/conda_recipe.hpp"

#include <doctest/doctest.h>

#include <functional>
#include <nlohmann/json.hpp>

#include "runtime/base/error.hpp"

using namespace berth;
using namespace berth::environment;
using Json = nlohmann::json;

namespace {

constexpr const char* kFile = R"(name: train
channels: [conda-forge, defaults]
dependencies:
- python=3.11
- numpy >=1.20, <2
- pip:
  - -r requirements.txt
  - torch == 2.1.0
  - --extra-index-url https://b/simple
  - --extra-index-url https://c/simple
variables: {A: "1", B: "2"}
)";

CondaTool micromamba() { return {CondaTool::Kind::micromamba, "/opt/micromamba", "linux-64", {2, 0, 5}}; }

std::string identity(const std::string& text, const std::string& requirements = "six\nattrs\n",
                     const NodeConda& node = {}) {
  return conda_recipe({"e.yml", {{"e.yml", text}, {"requirements.txt", requirements}}}, micromamba(), node).canonical;
}

std::string replaced(const std::string& from, const std::string& to) {
  std::string text = kFile;
  const auto at = text.find(from);
  REQUIRE(at != std::string::npos);
  return text.replace(at, from.size(), to);
}

Recipe recipe(const std::string& text, const NodeConda& node = {}, const CondaTool& tool = micromamba()) {
  return conda_recipe({"e.yml", {{"e.yml", text}}}, tool, node);
}

bool everywhere_without(const Recipe& made, const std::string& secret) {
  return (made.canonical + made.words + made.script + made.files.at("lock.json")).find(secret) == std::string::npos;
}

Error refusal(const Json& lock) {
  try {
    locked_conda_recipe(lock.is_string() ? lock.get<std::string>() : lock.dump(), micromamba(), {});
  } catch (const Error& error) {
    CHECK(!error.hint().empty());
    return error;
  }
  return Error(Code::internal, "accepted");
}

Json a_lock() {
  return {{"kind", "conda"},
          {"platform", "linux-64"},
          {"explicit", {"https://conda.anaconda.org/conda-forge/linux-64/python-3.11.2-0.conda#0123"}},
          {"pip", {"six==1.16.0"}},
          {"pip_options", {"--extra-index-url=https://b/simple"}},
          {"variables", {{"A", "it's"}}}};
}

}  // namespace

TEST_CASE("two files that say the same are one environment") {
  const auto same = identity(kFile);
  CHECK(identity(R"({"variables": {"B": 2, "A": 1}, "prefix": "/x", "dependencies": [
      {"pip": ["six", "Torch==2.1.0", "--extra-index-url=https://b/simple", "attrs", "--extra-index-url https://c/simple"]},
      "numpy[version='>=1.20,<2']", "python = 3.11"], "channels": ["conda-forge", "defaults"]})") == same);
  CHECK(identity(replaced("train", "other # comment")) == same);
  CHECK(identity(kFile, "# comment\nattrs\n\nsix # here\nattrs") == same);
  CHECK(conda_recipe(
            {"dir/other.yml", {{"dir/other.yml", kFile}, {"dir/requirements.txt", "six\nattrs"}, {"unused", "x"}}},
            micromamba(), {})
            .canonical == same);
}

TEST_CASE("what changes what is installed makes another environment") {
  const auto before = identity(kFile);
  for (const auto& [from, to] : std::vector<std::pair<std::string, std::string>>{
           {"python=3.11", "python=3.12"},
           {"python=3.11", "python==3.11"},
           {"[conda-forge, defaults]", "[defaults, conda-forge]"},
           {"torch == 2.1.0", "torch == 2.1.1"},
           {"https://b/simple", "https://d/simple"},
           {"numpy >=1.20, <2", "conda-forge::numpy >=1.20, <2"},
           {"A: \"1\"", "A: \"3\""},
           {"  - torch == 2.1.0", "  - torch == 2.1.0\n  - --pre"},
           {"  - -r requirements.txt", "  - -c requirements.txt"},
           {"  - --extra-index-url https://b/simple\n  - --extra-index-url https://c/simple",
            "  - --extra-index-url https://c/simple\n  - --extra-index-url https://b/simple"},
       }) {
    CAPTURE(to);
    CHECK(identity(replaced(from, to)) != before);
  }
  CHECK(identity(kFile, "six==1.16\nattrs\n") != before);
  const auto with = [](const std::function<void(NodeConda&)>& change) {
    NodeConda node;
    change(node);
    return identity(kFile, "six\nattrs\n", node);
  };
  CHECK(with([](auto& node) { node.channels = {"mine"}; }) != before);
  CHECK(with([](auto& node) { node.mirrors = {{"conda-forge", "https://mirror/c"}}; }) != before);
  CHECK(with([](auto& node) { node.index_url = "https://mirror/simple"; }) != before);
  CHECK(with([](auto& node) { node.options = {"--channel-priority=strict"}; }) != before);
  CHECK(with([](auto& node) { node.mirrors = {{"unused", "https://mirror/c"}}; }) == before);
  CHECK(with([](auto& node) { node.cache = "/elsewhere"; }) == before);
  auto tool = micromamba();
  tool.version = {2, 1, 0};
  tool.path = "/usr/bin/micromamba";
  CHECK(recipe("dependencies: [numpy]", {}, tool).canonical == recipe("dependencies: [numpy]").canonical);
  tool.platform = "linux-aarch64";
  CHECK(recipe("dependencies: [numpy]", {}, tool).canonical != recipe("dependencies: [numpy]").canonical);
}

TEST_CASE("python and pip come where they are needed, channels from file, node and mirrors") {
  NodeConda node;
  CHECK(recipe("dependencies: [numpy]").files.at("arguments") ==
        "--no-rc\n--override-channels\n--channel\ndefaults\npython\nnumpy\n");
  CHECK(recipe("dependencies: [{pip: [six]}]").files.at("arguments") ==
        "--no-rc\n--override-channels\n--channel\ndefaults\npython\npip\n");
  node.mirrors = {{"conda-forge", "file:///srv/cf"}};
  node.offline = true;
  CHECK(recipe("channels: [conda-forge, x]\ndependencies: ['conda-forge::python=3.11', "
               "'conda-forge/linux-64::a=1']",
               node)
            .files.at("arguments") ==
        "--no-rc\n--offline\n--override-channels\n--channel\nfile:///srv/cf\n--channel\nx\n"
        "file:///srv/cf::python=3.11\nfile:///srv/cf/linux-64::a=1\n");
  node.channels = {"only"};
  CHECK(recipe("channels: [x]\ndependencies: [python]", node).files.at("arguments") ==
        "--no-rc\n--offline\n--override-channels\n--channel\nonly\npython\n");
  auto conda = micromamba();
  conda.kind = CondaTool::Kind::conda;
  CHECK(recipe("dependencies: [python]", {}, conda).files.at("arguments").starts_with("--no-default-packages\n"));
  CHECK(recipe("dependencies: [python]", {}, conda).script.find("flock") != std::string::npos);
  CHECK(recipe("dependencies: [python]").script.find("flock") == std::string::npos);
}

TEST_CASE("people are told the first packages") {
  CHECK(recipe("dependencies: [numpy, python=3.11]").words == "conda environment (python=3.11, numpy)");
  CHECK(recipe("dependencies: [a, b, c, d, e, {pip: [f]}, python]").words ==
        "conda environment (python, a, b and 4 more)");
}

TEST_CASE("the node's credentials reach the build and nothing that is shown or kept") {
  NodeConda node;
  node.mirrors = {{"mine", "https://user:word@host/t/word/mine"}};
  node.index_url = "https://user:word@host/simple";
  node.extra_index_urls = {"https://user:word@other/simple"};
  const auto made = recipe("channels: [mine]\ndependencies: ['mine::python', {pip: [six]}]", node);
  CHECK(everywhere_without(made, "word"));
  CHECK(made.files.at("arguments").find("https://user:word@host/t/word/mine::python\n") != std::string::npos);
  CHECK(made.variables ==
        std::vector<std::pair<std::string, std::string>>{{"PIP_INDEX_URL", "https://user:word@host/simple"},
                                                         {"PIP_EXTRA_INDEX_URL", "https://user:word@other/simple"}});
}

TEST_CASE("a lock is built as it is") {
  NodeConda node;
  node.mirrors = {{"conda-forge", "file:///srv/cf"}};
  const auto made = locked_conda_recipe(a_lock().dump(), micromamba(), node);
  CHECK(made.kind == "conda");
  CHECK(made.words == "conda environment from a lock (2 packages)");
  CHECK(made.files.at("arguments") == "--no-rc\n--file\nexplicit.txt\n");
  CHECK(made.files.at("explicit.txt") == "@EXPLICIT\nfile:///srv/cf/linux-64/python-3.11.2-0.conda#0123\n");
  CHECK(made.files.at("requirements.txt") == "--extra-index-url=https://b/simple\nsix==1.16.0\n");
  CHECK(made.files.at("pip_arguments") == "--no-deps\n");
  CHECK(made.files.at("variables.sh") == "export A='it'\"'\"'s'\n");
  auto other = a_lock();
  other["pip"] = {"six==1.17.0"};
  CHECK(locked_conda_recipe(other.dump(), micromamba(), node).canonical != made.canonical);
}

TEST_CASE("what is no lock says so") {
  CHECK(refusal("not JSON").message() == "the lock cannot be read: malformed JSON at byte 2");
  CHECK(refusal(Json{{"kind", "venv"}}).code() == Code::invalid);
  const auto changed = [](const char* key, const Json& value) {
    auto lock = a_lock();
    lock[key] = value;
    return refusal(lock);
  };
  CHECK(changed("platform", "osx-64").code() == Code::unsupported);
  CHECK(changed("explicit", Json::array()).code() == Code::invalid);
  CHECK(changed("explicit", {1}).code() == Code::invalid);
  CHECK(changed("explicit", {"--file=/etc/passwd"}).code() == Code::invalid);
  CHECK(changed("explicit", {"https://host/a.conda\nhttps://host/b.conda"}).code() == Code::invalid);
  CHECK(changed("explicit", {"https://user:word@host/a.conda"}).describe().find("word") == std::string::npos);
  CHECK(changed("pip", {"-e ."}).message().find("the lock's pip:1") == 0);
  CHECK(changed("pip", "six").code() == Code::invalid);
  CHECK(changed("variables", {{"A;rm", "x"}}).code() == Code::invalid);
  CHECK(changed("variables", {1}).code() == Code::invalid);
}
