#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/file.h>

#include "runtime/async/tool.hpp"
#include "runtime/base/error.hpp"
#include "runtime/os/fd.hpp"
#include "tests/runtime/environment/conda_builds.hpp"

using namespace berth;
using namespace berth::environment;
using Json = nlohmann::json;

namespace {

Conda file(const std::string& text) { return {"environment.yml", {{"environment.yml", text}}}; }

std::string output_of(const std::string& command, const std::string& path_prefix) {
  os::SpawnOptions options{.arguments = {"/bin/sh", "-c", command},
                           .environment = {"PATH=" + path_prefix + ":/usr/bin:/bin"}};
  return async::run_tool_here(std::move(options), {std::chrono::seconds(60)}).output;
}

bool has(const Json& list, const std::string& text) { return std::find(list.begin(), list.end(), text) != list.end(); }

}  // namespace

TEST_CASE("an environment is solved, installed, activated once and written down; its lock makes it again") {
  for (const auto& path : conda_tools()) {
    CAPTURE(path);
    const auto node = test_node(path);
    const auto tool = find_conda_tool(node);
    const CondaSite site;
    const auto built = site.build(conda_recipe(file(R"(
channels: [test]
dependencies:
- world
- hello>=1,<2
- activated
- pip:
  - berth_wheel<1.1
variables:
  OF_FILE: "it's $HOME"
)"),
                                               tool, node),
                                  "first");
    INFO(built.output);
    REQUIRE(built.status == 0);
    const auto& result = built.result;

    CHECK(result["interpreter"] == built.prefix + "/bin/python");
    CHECK(output_of("python -c 'import world, hello, berth_wheel; print(hello.__version__, berth_wheel.__version__)'",
                    result["path_prefix"]) == "1.1.0 1.0\n");
    CHECK(output_of("hello-cli; tool", result["path_prefix"]) == "hello 1.1.0\ntool\n");
    CHECK(output_of("python -c 'import platform; print(platform.python_version(), end=\"\")'", result["path_prefix"]) ==
          result["python_version"].get<std::string>());
    CHECK(result["path_prefix"] == built.prefix + "/opt/tools/bin:" + built.prefix + "/bin");
    CHECK(result["variables"] == Json{{"CONDA_PREFIX", built.prefix},
                                      {"CONDA_DEFAULT_ENV", built.prefix},
                                      {"CONDA_SHLVL", "1"},
                                      {"GREETING", "hello from " + built.prefix},
                                      {"TOOLS_HOME", built.prefix + "/opt/tools"},
                                      {"ORDERED", "yes"},
                                      {"LINES", "one\ntwo"},
                                      {"OF_FILE", "it's $HOME"},
                                      {"OF_PACKAGE", "it's \"quoted\" $HOME"},
                                      {"SEES_VARIABLES", "it's $HOME/it's \"quoted\" $HOME"}});
    CHECK(has(result["packages"], "hello==1.1.0"));
    CHECK(has(result["packages"], "berth-wheel==1.0"));
    const auto& lock = result["lock"];
    CHECK(lock["kind"] == "conda");
    CHECK(lock["pip"] == Json{"berth-wheel==1.0"});
    CHECK(lock["explicit"].size() == 5);
    CHECK(lock["explicit"][0].get<std::string>().find("/linux-64/python-3") != std::string::npos);
    for (const auto& entry : lock["explicit"])
      CHECK(entry.get<std::string>().rfind('#') == entry.get<std::string>().size() - 33);

    const auto again = site.build(locked_conda_recipe(lock.dump(), tool, node), "again");
    INFO(again.output);
    REQUIRE(again.status == 0);
    CHECK(again.result["packages"] == result["packages"]);
    CHECK(again.result["lock"] == lock);
    CHECK(again.result["variables"]["OF_FILE"] == "it's $HOME");
  }
}

TEST_CASE("what pip puts in a conda package's place is pip's, in the record as in the lock") {
  const auto node = test_node(kFixture + "/bin/micromamba");
  const CondaSite site;
  const auto built = site.build(
      conda_recipe(file("dependencies: [hello=1, {pip: [hello==3.0]}]"), find_conda_tool(node), node), "both");
  INFO(built.output);
  REQUIRE(built.status == 0);
  CHECK(output_of("python -c 'import hello; print(hello.__version__)'", built.result["path_prefix"]) == "3.0\n");
  CHECK(has(built.result["packages"], "hello==3.0"));
  CHECK(!has(built.result["packages"], "hello==1.1.0"));
  CHECK(built.result["lock"]["pip"] == Json{"hello==3.0"});
  CHECK(built.result["lock"]["explicit"].size() == 3);
  CHECK(output_of("python -m pip freeze --all | grep -v '^pip'", built.result["path_prefix"]) == "hello==3.0\n");
}

TEST_CASE("what cannot be solved ends with the solver's own words") {
  for (const auto& path : conda_tools()) {
    CAPTURE(path);
    const auto node = test_node(path);
    const CondaSite site;
    const auto built = site.build(conda_recipe(file("dependencies: [broken]"), find_conda_tool(node), node), "broken");
    INFO(built.output);
    CHECK(built.status != 0);
    CHECK(built.result.is_null());
    CHECK(built.output.substr(built.output.size() - std::min<std::size_t>(built.output.size(), 600))
              .find("does-not-exist") != std::string::npos);
  }
}

TEST_CASE("a pip part that cannot be met, and activation that ends the shell, fail with their reason") {
  const auto node = test_node(kFixture + "/bin/micromamba");
  const auto tool = find_conda_tool(node);
  const CondaSite site;
  const auto pip = site.build(conda_recipe(file("dependencies: [{pip: [berth_wheel==9]}]"), tool, node), "pip");
  CHECK(pip.status != 0);
  CHECK(pip.result.is_null());
  CHECK(pip.output.find("No matching distribution found for berth-wheel==9") != std::string::npos);

  const auto ended = site.build(conda_recipe(file("dependencies: [ends-shell]"), tool, node), "ended");
  CHECK(ended.status != 0);
  CHECK(ended.result.is_null());
  CHECK(ended.output.find("a script of " + ended.prefix + "/etc/conda/activate.d ended the shell") !=
        std::string::npos);
}

TEST_CASE("settings of pip and conda around a build do not reach it") {
  auto node = test_node(kFixture + "/bin/micromamba");
  const auto tool = find_conda_tool(node);
  const CondaSite site;
  os::make_directories(site.path() + "/quiet/build/.config/pip");
  os::write_file(site.path() + "/quiet/build/.config/pip/pip.conf",
                 "[global]\nfind-links = /nowhere\nonly-binary = :none:\nrequire-hashes = true\n", 0644,
                 os::Durable::no);
  os::write_file(site.path() + "/quiet/build/.condarc", "channels: [https://nowhere.invalid/]\n", 0644,
                 os::Durable::no);
  const auto built = site.build(conda_recipe(file("dependencies: [{pip: [berth_wheel]}]"), tool, node), "quiet");
  INFO(built.output);
  CHECK(built.status == 0);
  CHECK(built.result["lock"]["pip"] == Json{"berth-wheel==1.1"});
}

TEST_CASE("several builds at a time share one package cache") {
  for (const auto& path : conda_tools()) {
    CAPTURE(path);
    const auto node = test_node(path);
    const auto tool = find_conda_tool(node);
    const CondaSite site;
    const auto recipe = conda_recipe(file("dependencies: [world]"), tool, node);
    std::vector<CondaSite::Built> built(3);
    {
      std::vector<std::jthread> threads;
      for (std::size_t i = 0; i < built.size(); ++i)
        threads.emplace_back([&, i] { built[i] = site.build(recipe, "shared" + std::to_string(i)); });
    }
    for (const auto& one : built) {
      INFO(one.output);
      CHECK(one.status == 0);
      CHECK(one.result["lock"] == built[0].result["lock"]);
    }
  }
}

TEST_CASE("a tool that does not lock its cache waits for who has it") {
  const auto node = test_node(kFixture + "/bin/micromamba");
  auto tool = find_conda_tool(node);
  tool.version = {1, 5, 8};
  REQUIRE(!tool.shares_cache());
  const CondaSite site;
  const auto recipe = conda_recipe(file("dependencies: [hello]"), tool, node);
  auto impatient = recipe;
  impatient.script = "timeout 1 sh -eu <<'END'\n" + recipe.script + "\nEND\n";
  {
    const auto cache = site.path() + "/cache/conda";
    os::make_directories(cache);
    const os::Fd lock(::open((cache + "/.berth.lock").c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0644));
    REQUIRE(::flock(lock.get(), LOCK_EX) == 0);
    const auto waited = site.build(impatient, "waits");
    INFO(waited.output);
    CHECK(waited.status == 124);
    CHECK(waited.output.ends_with("waiting: another build has the package cache\n"));
    CHECK(!os::exists(waited.prefix));
  }
  const auto built = site.build(recipe, "next");
  INFO(built.output);
  CHECK(built.status == 0);
  CHECK(built.output.find("waiting") == std::string::npos);
}
