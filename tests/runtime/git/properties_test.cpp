#include "runtime/git/properties.hpp"

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

namespace git = berth::git;

namespace {

const char* no_variables(const char*) { return nullptr; }

git::Provenance example() {
  git::Provenance found;
  found.repository = "https://example.org/code.git";
  found.branch = "main";
  found.commit = std::string(40, 'a');
  found.describe = "v1-2-gaaaaaaa";
  found.path = "train";
  return found;
}

}  // namespace

TEST_CASE("provenance is recorded under Azure ML's and MLflow's names") {
  const auto out = git::properties(example(), no_variables);
  CHECK(out.at("azureml.git.repository_uri") == "https://example.org/code.git");
  CHECK(out.at("mlflow.source.git.repoURL") == "https://example.org/code.git");
  CHECK(out.at("azureml.git.branch") == "main");
  CHECK(out.at("mlflow.source.git.branch") == "main");
  CHECK(out.at("azureml.git.commit") == std::string(40, 'a'));
  CHECK(out.at("mlflow.source.git.commit") == std::string(40, 'a'));
  CHECK(out.at("azureml.git.dirty") == "False");
  CHECK(out.at("berth.git.describe") == "v1-2-gaaaaaaa");
  CHECK(out.at("berth.git.path") == "train");
  CHECK(out.at("berth.git.state") == "clean");
  CHECK(out.size() == 10);
}

TEST_CASE("a dirty tree, its untracked files and submodules are told as text") {
  auto found = example();
  found.dirty = true;
  found.diff_cut = true;
  found.untracked = {"new \"file\"", "b\xff"};
  found.submodules = {{"third/party", std::string(40, 'b')}};
  found.remarks = {"the clone is shallow"};
  const auto out = git::properties(found, no_variables);
  CHECK(out.at("azureml.git.dirty") == "True");
  CHECK(out.at("berth.git.diff_cut") == "True");
  CHECK(nlohmann::json::parse(out.at("berth.git.untracked")) == nlohmann::json{"new \"file\"", "b\\xff"});
  CHECK(nlohmann::json::parse(out.at("berth.git.submodules")) == nlohmann::json{{"third/party", std::string(40, 'b')}});
  CHECK(nlohmann::json::parse(out.at("berth.git.remarks")) == nlohmann::json{"the clone is shallow"});
}

TEST_CASE("a detached head has no branch, and a name that is not UTF-8 stays printable") {
  auto found = example();
  found.branch.clear();
  found.path = "caf\xe9";
  const auto out = git::properties(found, no_variables);
  CHECK(!out.contains("azureml.git.branch"));
  CHECK(!out.contains("mlflow.source.git.branch"));
  CHECK(out.at("berth.git.path") == "caf\\xe9");
}

TEST_CASE("a build server's variables override what was found, credentials stripped") {
  const auto variable = [](const char* name) -> const char* {
    const std::string_view asked = name;
    if (asked == "AZUREML_GIT_REPOSITORY_URI") return "https://ci:t0ken@example.org/fork.git";
    if (asked == "AZUREML_GIT_BRANCH") return "release";
    if (asked == "AZUREML_GIT_COMMIT") return "0123";
    if (asked == "AZUREML_GIT_DIRTY") return "True";
    if (asked == "AZUREML_GIT_BUILD_ID") return "77";
    if (asked == "AZUREML_GIT_BUILD_URI") return "https://example.org/build/77";
    return nullptr;
  };
  for (const auto& found : {std::optional(example()), std::optional<git::Provenance>()}) {
    const auto out = git::properties(found, variable);
    CHECK(out.at("mlflow.source.git.repoURL") == "https://example.org/fork.git");
    CHECK(out.at("azureml.git.branch") == "release");
    CHECK(out.at("azureml.git.commit") == "0123");
    CHECK(out.at("azureml.git.dirty") == "True");
    CHECK(out.at("azureml.git.build_id") == "77");
    CHECK(out.at("azureml.git.build_uri") == "https://example.org/build/77");
  }
}

TEST_CASE("what could not be found out has a value of its own") {
  auto found = example();
  found.unknown = "it was too dark";
  auto out = git::properties(found, no_variables);
  CHECK(out.at("azureml.git.dirty") == "Unknown");
  CHECK(out.at("berth.git.state") == "unknown, because it was too dark");
  found.dirty = true;  // which settles it
  CHECK(git::properties(found, no_variables).at("berth.git.state") == "changed");
  git::Provenance fresh;
  fresh.no_commit = true;
  out = git::properties(fresh, no_variables);
  CHECK(out.at("azureml.git.dirty") == "True");
  CHECK(out.at("berth.git.state") == "no commit yet");
}

TEST_CASE("without a repository and without overrides there are no properties") {
  CHECK(git::properties(std::nullopt, no_variables).empty());
}
