#include "runtime/environment/conda_spec.hpp"

#include <doctest/doctest.h>

#include <string>

#include "runtime/base/error.hpp"

using namespace berth;
using namespace berth::environment;
using namespace berth::environment::conda;

namespace {

CondaSpec spec(const std::string& text, Files files = {}) {
  files["environment.yml"] = text;
  return parse_conda({"environment.yml", files});
}

Error refusal(const std::string& text) {
  try {
    spec(text);
  } catch (const Error& error) {
    return error;
  }
  return Error(Code::internal, "accepted");
}

}  // namespace

TEST_CASE("an environment file of Azure ML is read whole") {
  const auto found = spec(R"(
# Azure ML
name: train_environment
channels:
  - defaults
  - conda-forge
  - nodefaults
prefix: /anaconda/envs/train
dependencies:
  - python=3.8.12
  - Pillow
  - pip=21.2.2
  - pip:
      - --extra-index-url https://pypi.org/simple
      - git+https://github.com/NVIDIA/dllogger.git@26a0f8f1958de2c0c460925ff6102a4d2486d6cc#egg=dllogger
      - -r requirements.txt
      - numpy==1.19.5    # pinned
      -
variables:
  ONE: 1
  EMPTY:
)",
                          {{"requirements.txt", "pandas\n"}});
  CHECK(found.channels == std::vector<std::string>{"defaults", "conda-forge"});
  std::vector<std::string> dependencies;
  for (const auto& dependency : found.dependencies) dependencies.push_back(dependency.text());
  CHECK(dependencies == std::vector<std::string>{"pillow", "pip=21.2.2", "python=3.8.12"});
  CHECK(found.pip.requirements ==
        std::vector<std::string>{
            "git+https://github.com/NVIDIA/dllogger.git@26a0f8f1958de2c0c460925ff6102a4d2486d6cc#egg=dllogger",
            "numpy==1.19.5", "pandas"});
  CHECK(found.pip.option_lines() == std::vector<std::string>{"--extra-index-url=https://pypi.org/simple"});
  CHECK(found.variables == std::map<std::string, std::string>{{"ONE", "1"}, {"EMPTY", ""}});
}

TEST_CASE("JSON is YAML") {
  CHECK(spec(R"({"dependencies": ["numpy", {"pip": ["six"]}], "channels": ["conda-forge"]})") ==
        spec("channels: [conda-forge]\ndependencies:\n- numpy\n- pip: [six]\n"));
}

TEST_CASE("a file that is no environment says why, with its line") {
  struct Row {
    std::string text;
    std::string why;
  };
  for (const auto& row : {
           Row{"", "environment.yml:1: is empty"},
           {"# nothing\n", "environment.yml:1: is empty"},
           {"- a\n", "environment.yml:1: is not a conda environment"},
           {"just text", "environment.yml:1: is not a conda environment"},
           {"channels: [a]\n", "has no 'dependencies'"},
           {"a: [1\nb: 2", "environment.yml:2: is not well-formed YAML"},
           {"dependencies: [a]\ndependecies: [b]\n", "environment.yml:2: has the unknown key 'dependecies'"},
           {"dependencies: [a]\nchannels: [x]\ndependencies: [b]\n", "environment.yml:3: has 'dependencies' twice"},
           {"dependencies: a\n", "environment.yml:1: 'dependencies' is not a list"},
           {"dependencies:\n", "'dependencies' is not a list"},
           {"dependencies:\n- a\n- [b]\n", "environment.yml:3: has a dependency that is neither"},
           {"dependencies:\n- a\n- npm: [b]\n", "environment.yml:3: has the unknown section 'npm'"},
           {"dependencies:\n- pip: numpy\n", "environment.yml:2: 'pip' is not a list"},
           {"dependencies:\n- pip:\n  - a\n  - {b: c}\n", "environment.yml:4: has a requirement that is not text"},
           {"dependencies:\n- pip:\n  - a\n  - -e .\n", "environment.yml:4: '-e .' installs a directory"},
           {"dependencies:\n- a\n- b>=\n", "environment.yml:3: the dependency 'b>=' has an operator"},
           {"channels: x\ndependencies: [a]\n", "environment.yml:1: 'channels' is not a list"},
           {"channels: [[x]]\ndependencies: [a]\n", "has a channel that is not text"},
           {"channels: [./local]\ndependencies: [a]\n", "is a directory of the machine"},
           {"channels: ['a b']\ndependencies: [a]\n", "has a strange character"},
           {"channels: [-x]\ndependencies: [a]\n", "has a strange character"},
           {"channels: ['https://user:word@host/']\ndependencies: [a]\n", "password or token"},
           {"channels: ['https://$HOST/']\ndependencies: [a]\n", "uses the variable $HOST"},
           {"dependencies: [a]\nvariables: [b]\n", "'variables' is not a list of names"},
           {"dependencies: [a]\nvariables: {A-B: 1}\n", "cannot be a variable's name"},
           {"dependencies: [a]\nvariables: {A: [1]}\n", "the variable A is not text"},
           {"dependencies: [a]\nvariables: {PATH: /x}\n", "sets PATH"},
           {"dependencies: [a]\n---\ndependencies: [b]\n", "has several documents"},
           {",,name: a\ndependencies: [b]\n", "has several documents"},  // endlessly many, for yaml-cpp
           {"dependencies: [*a]\n", "is not well-formed YAML"},
           {"? [a]\n: b\n", "has a key that is not text"},
           {"dependencies: [\"\xff\"]", "is not UTF-8"},
       }) {
    CAPTURE(row.text);
    const auto error = refusal(row.text);
    CAPTURE(error.message());
    CHECK(error.code() == Code::invalid);
    CHECK(error.message().find(row.why) != std::string::npos);
    CHECK(!error.hint().empty());
  }
  CHECK(refusal("channels: ['https://user:word@host/']\ndependencies: [a]\n").describe().find("word@") ==
        std::string::npos);
}

TEST_CASE("hostile files end in an error, soon") {
  for (const auto* opening : {"- ", "? ", "{a: ", "[{", "!x ", "&x ", "a: {? "}) {
    std::string deep;
    while (deep.size() < 200'000) deep += opening;
    CAPTURE(opening);
    CHECK(refusal(deep).code() == Code::invalid);
    CHECK(refusal("dependencies:\n- " + deep).code() == Code::invalid);
  }
  std::string nested(200'000, '[');
  CHECK(refusal(nested).code() == Code::invalid);
  CHECK(refusal("dependencies: " + nested).code() == Code::invalid);

  std::string bomb = "a: &a [x,x,x,x,x,x,x,x,x,x]\n";
  for (char c = 'b'; c < 'z'; ++c) {
    const std::string former(1, static_cast<char>(c - 1));
    bomb += std::string(1, c) + ": &" + c + " [";
    for (int i = 0; i < 10; ++i) bomb += "*" + former + (i < 9 ? "," : "]\n");
  }
  CHECK(refusal(bomb + "dependencies: *y\n").code() == Code::invalid);

  std::string sections = "dependencies:\n- pip: &a [";
  for (int i = 0; i < 5000; ++i) sections += "x" + std::to_string(i) + ",";
  sections += "y]\n";
  for (int i = 0; i < 5000; ++i) sections += "- pip: *a\n";
  CHECK(refusal(sections).message().find("more than 10000 entries") != std::string::npos);

  CHECK(refusal("dependencies: &a [*a]\n").code() == Code::invalid);
  CHECK(refusal("#" + std::string(2U << 20, 'x')).code() == Code::too_large);
}
