#include "runtime/environment/venv.hpp"
#include "runtime/async/tool.hpp"

#include <doctest/doctest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>

#include "build_site.hpp"
#include "runtime/environment/environment.hpp"
#include "runtime/environment/host_provider.hpp"
#include "runtime/environment/user_managed.hpp"
#include "runtime/environment/user_text.hpp"
#include "runtime/os/spawn.hpp"
#include "tests/support/skip.hpp"

namespace environment = berth::environment;
namespace os = berth::os;
namespace async = berth::async;
using namespace berth::environment::test;
using berth::Code;
using berth::Error;
using environment::Files;
using environment::NodePython;
using environment::Venv;
using environment::Venvs;
using environment::VenvTools;
using environment::Waiting;

namespace {

// Debian's own, which every user may run.
constexpr const char* kPython = "/usr/bin/python3";

os::Finished run(std::vector<std::string> arguments) {
  auto finished =
      async::run_tool_here({.arguments = std::move(arguments), .environment = {"PATH=/usr/bin:/bin", "LC_ALL=C.UTF-8"}},
                           {std::chrono::seconds(120)});
  CAPTURE(finished.errors);
  REQUIRE(finished.exit.status == 0);
  return finished;
}

// Wheels of packages NAME 1.0 and 2.0; "needs" needs "needed".
constexpr const char* kMakeWheels = R"(
import sys, zipfile
def wheel(name, version, needs=()):
    about = f'{name}-{version}.dist-info'
    files = {f'{name}.py': f'version = "{version}"\n',
             f'{about}/METADATA': f'Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n'
                                  + ''.join(f'Requires-Dist: {n}\n' for n in needs),
             f'{about}/WHEEL': 'Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n'}
    files[f'{about}/RECORD'] = ''.join(f'{f},,\n' for f in files) + f'{about}/RECORD,,\n'
    with zipfile.ZipFile(f'{sys.argv[1]}/{name}-{version}-py3-none-any.whl', 'w') as archive:
        for path, text in files.items(): archive.writestr(path, text)
for version in ('1.0', '2.0'):
    wheel('needed', version)
    wheel('other', version)
    wheel('needs', version, ['needed<2' if version == '1.0' else 'needed'])
)";

class Place {
 public:
  Place() {
    ::chmod(scratch.path().c_str(), 0755);
    os::make_directories(wheels(), 0755);
    run({kPython, "-c", kMakeWheels, wheels()});
  }
  std::string wheels() const { return scratch / "wheels"; }
  NodePython node() const {
    NodePython node;
    node.uv = "";
    node.find_links = {wheels()};
    node.offline = true;
    node.interpreters = {kPython};
    return node;
  }
  os::TempDir scratch{"venv-test"};
};

VenvTools tools(const std::string& uv = "") {
  return {environment::look_at_python(kPython, {}, std::chrono::seconds(60)), uv};
}

Venv of(const std::string& text, const std::string& file = "requirements.txt") {
  Venv venv;
  venv.file = file;
  venv.files[file] = text;
  return venv;
}

environment::FromFiles spec_of(const std::string& text) {
  const auto venv = of(text);
  return {environment::kVenvKind, venv.python, venv.file, venv.files};
}

berth::Digest digest(const Venv& venv, const NodePython& node = {}) {
  return digest_of(environment::venv_recipe(venv, node, tools()));
}

nlohmann::json lock_of(const environment::Leased& leased) { return nlohmann::json::parse(leased.ready.lock); }

bool has(const nlohmann::json& list, const std::string& text) {
  return std::find(list.begin(), list.end(), text) != list.end();
}

std::string version_in(const environment::Leased& leased, const std::string& module) {
  return run({leased.ready.interpreter, "-c", "import " + module + "; print(" + module + ".version)"}).output;
}

// A uv that the build user can run; nothing where the machine has none.
std::optional<std::string> find_uv(const std::string& copy) {
  const char* path = std::getenv("PATH");
  std::vector<std::string> places;
  if (const char* named = std::getenv("UV")) places.emplace_back(named);
  for (const auto& directory : environment::split(path != nullptr ? path : "", ':'))
    places.push_back(directory + "/uv");
  for (const auto& place : places)
    if (::access(place.c_str(), X_OK) == 0) {
      run({"/bin/cp", "-L", place, copy});
      return copy;
    }
  return std::nullopt;
}

}  // namespace

TEST_CASE("files that say the same are one environment, files that do not are others") {
  Venv spread;
  spread.file = "reqs/all.txt";
  spread.files = {{"reqs/all.txt", "# all\nNumPy>=1  # comment\n-r more.txt\n"}, {"reqs/more.txt", "other==1.0\n"}};
  const auto base = digest(of("numpy >= 1\nother==1.0\n"));
  CHECK(digest(spread) == base);
  CHECK(digest(of("[project]\ndependencies=['numpy>=1', 'other==1.0']\n", "pyproject.toml")) == base);
  spread.files["reqs/more.txt"] = "other==2.0\n";
  CHECK(digest(spread) != base);
  NodePython elsewhere;
  elsewhere.index_url = "https://index.example/simple";
  const auto other_index = digest(of("numpy >= 1\nother==1.0\n"), elsewhere);
  CHECK(other_index != base);
  elsewhere.index_url = "https://me:secret@index.example/simple";
  CHECK(digest(of("numpy >= 1\nother==1.0\n"), elsewhere) == other_index);
  CHECK(digest(of("-i https://token@index.example/simple\nnumpy >= 1\nother==1.0\n")) == other_index);
}

TEST_CASE("a token in the node's index is told to the tool, and to nobody else") {
  NodePython node;
  node.index_url = "https://index.example/t/secret/simple";
  node.extra_index_urls = {"https://other.example/t/secret/simple"};
  const auto recipe = environment::venv_recipe(of("a\n"), node, tools());
  CHECK(recipe.script.find("https://index.example/t/secret/simple") != std::string::npos);
  CHECK(recipe.canonical.find("secret") == std::string::npos);
  CHECK(recipe.words.find("secret") == std::string::npos);
}

TEST_CASE("credentials are in the build's .netrc and nowhere else") {
  NodePython node;
  node.index_url = "https://me:secret@index.example/simple";
  for (const auto* uv : {"", "/usr/bin/uv"}) {
    const auto recipe = environment::venv_recipe(of("a\n"), node, tools(uv));
    CHECK(recipe.files.at(".netrc") == "machine index.example login me password secret\n");
    CHECK(recipe.script.find("https://index.example/simple") != std::string::npos);
    for (const auto& text : {recipe.script, recipe.canonical, recipe.words, recipe.files.at("requirements.txt")})
      CHECK(text.find("secret") == std::string::npos);
  }
}

TEST_CASE("hashes are wanted of all packages as soon as one has some, by uv as by pip") {
  const auto script = [](const std::string& text, const Files& more = {}) {
    auto venv = of(text);
    venv.files.insert(more.begin(), more.end());
    return environment::venv_recipe(venv, {}, tools("/usr/bin/uv")).script;
  };
  const auto times = [](const std::string& text) {
    std::size_t count = 0;
    for (auto at = text.find("--require-hashes"); at != std::string::npos; at = text.find("--require-hashes", at + 1))
      ++count;
    return count;
  };
  CHECK(times(script("a\n")) == 0);
  CHECK(times(script("a==1 --hash=sha256:aa\n")) == 1);
  CHECK(times(script("--require-hashes\na==1 --hash=sha256:aa\n")) == 1);
  CHECK(times(script("a==1\n-c c\n", {{"c", "a==1 --hash=sha256:aa\n"}})) == 1);
  CHECK(times(script("a @ https://h/a.zip#sha256=aa\n")) == 0);
  const auto with_pip = environment::venv_recipe(of("--require-hashes\na==1\n"), {}, tools());
  CHECK(with_pip.files.at("requirements.txt") == "--require-hashes\na==1\n");
  CHECK(times(with_pip.script) == 0);
}

TEST_CASE("options are said where the tool reads them, once") {
  const auto venv = of("-f /w --pre --prefer-binary --no-binary=b,c --use-feature=x\na\n");
  const auto with_uv = environment::venv_recipe(venv, {}, tools("/usr/bin/uv"));
  CHECK(with_uv.script.find(
            " --find-links '/w' '--no-binary=b' '--no-binary=c' --prerelease=allow -r requirements.txt\n") !=
        std::string::npos);
  CHECK(with_uv.files.at("requirements.txt") == "a\n");
  const auto with_pip = environment::venv_recipe(venv, {}, tools());
  CHECK(with_pip.script.find(" --find-links '/w' -r requirements.txt\n") != std::string::npos);
  CHECK(with_pip.files.at("requirements.txt") == "--no-binary=b,c\n--use-feature=x\n--pre\n--prefer-binary\na\n");
  CHECK(with_pip.canonical != with_uv.canonical);
}

TEST_CASE("what uv does not read is installed by pip") {
  const auto venv = of("a --config-settings=x=1\n");
  const auto recipe = environment::venv_recipe(venv, {}, tools("/usr/bin/uv"));
  CHECK(recipe.script.find("uv pip") == std::string::npos);
  CHECK(recipe.canonical == environment::venv_recipe(venv, {}, tools()).canonical);
}

TEST_CASE("a lock that was changed by hand says where, and no credential") {
  const auto failure = [](const std::string& lock) {
    try {
      environment::locked_venv_recipe(lock, {}, tools());
    } catch (const Error& error) {
      CHECK(error.code() == Code::invalid);
      CHECK(!error.hint().empty());
      return error.describe();
    }
    return std::string();
  };
  const auto of_lines = [&](const std::string& lines) {
    return failure(R"({"kind":"venv","python":"3.11.2","pip":[)" + lines + "]}");
  };
  CHECK(of_lines(R"("a==1","b")").starts_with("the lock's pip:2: is no package with its version"));
  CHECK(of_lines(R"("-r x==1")").starts_with("the lock's pip:1: "));
  CHECK(of_lines(R"("a==1\nb==2")").starts_with("the lock's pip:1: "));
  CHECK(of_lines(R"("./a==1")").find("is a path on the machine") != std::string::npos);
  CHECK(failure("https://me:sesame@host").find("sesame") == std::string::npos);
  CHECK(of_lines(R"("a @ https://me:sesame@host/a b")").find("sesame") == std::string::npos);
  const std::string good = R"({"kind":"venv","python":"3.11.2","pip":["A_b==1","c @ https://me:sesame@h/c.zip"]})";
  const auto recipe = environment::locked_venv_recipe(good, {}, tools());
  CHECK(recipe.files.at("requirements.txt") == "a-b==1\nc @ https://h/c.zip\n");
  CHECK(recipe.files.at(".netrc") == "machine h login me password sesame\n");
  CHECK((recipe.canonical + recipe.words + recipe.script).find("sesame") == std::string::npos);
}

TEST_CASE("a Python that this machine lacks is told with those there are") {
  const Place place;
  Venvs venvs(place.node(), build_user());
  auto venv = of("[project]\nrequires-python='>=3.99'\n", "pyproject.toml");
  try {
    venvs.recipe(venv);
    FAIL("there is one");
  } catch (const Error& error) {
    CHECK(error.code() == Code::not_found);
    CHECK(says(error, "no Python >=3.99"));
    CHECK(says(error, "(/usr/bin/python3"));
  }
  venv = of("");
  venv.python = "3";
  CHECK(venvs.recipe(venv).words.find("Python environment (3.") == 0);
}

TEST_CASE("pip builds an environment of a requirements file, and its lock builds the same again") {
  const Place place;
  auto settings = settings_in(place.scratch / "environments");
  with_agent(settings, [&](Agent& agent) -> Task<> {
    environment::Providers providers;
    auto venvs = std::make_unique<Venvs>(place.node(), settings.identity);
    providers.add(
        std::make_unique<environment::HostProvider>(agent.builds, environment::HostOptions{}, std::move(venvs)));
    environment::Environments environments(std::move(providers), {&agent.builds});
    const environment::Context anybody;
    Waiting waiting;
    const auto leased = co_await environments.ensure(spec_of("needs<2\nother\n"), anybody, waiting);
    CHECK(version_in(leased, "needed") == "1.0\n");
    CHECK(version_in(leased, "other") == "2.0\n");
    REQUIRE(leased.ready.variables.size() == 1);
    CHECK(leased.ready.variables[0].first == "VIRTUAL_ENV");
    CHECK(has(nlohmann::json::parse(leased.ready.record).at("packages"), "needs==1.0"));
    CHECK(has(lock_of(leased).at("pip"), "needed==1.0"));
    const auto frozen = run({leased.ready.interpreter, "-m", "pip", "freeze", "--all"}).output;
    const auto lines = lock_of(leased).at("pip").get<std::vector<std::string>>();
    for (const auto& line : lines) CHECK(frozen.find(line + "\n") != std::string::npos);
    CHECK(static_cast<std::size_t>(std::count(frozen.begin(), frozen.end(), '\n')) == lines.size());
    const auto log = os::read_file(waiting.build()->log);
    CHECK(log.find("Successfully installed") != std::string::npos);

    const auto before = std::chrono::steady_clock::now();
    Waiting warm;
    const auto again = co_await environments.ensure(spec_of("# same\nNeeds < 2\nother\n"), anybody, warm);
    const auto took = std::chrono::steady_clock::now() - before;
    CHECK(!warm.build());
    CHECK(again.ready.digest == leased.ready.digest);
    MESSAGE("warm: " << std::chrono::duration_cast<std::chrono::microseconds>(took).count() << " us");

    auto locked = lock_of(leased);
    for (auto& line : locked.at("pip"))
      if (line == "needed==1.0") line = "needed==2.0";  // against what "needs" says: a lock is not questioned
    Waiting third;
    environment::Locked exact{locked.dump()};
    const auto rebuilt = co_await environments.ensure(exact, anybody, third);
    CHECK(version_in(rebuilt, "needed") == "2.0\n");
    CHECK(version_in(rebuilt, "needs") == "1.0\n");
    CHECK((co_await environments.list()).size() == 2);
  });
}

TEST_CASE("what pip says of a requirement that cannot be met is what the error says") {
  const Place place;
  const auto settings = settings_in(place.scratch / "environments");
  Venvs venvs(place.node(), settings.identity);
  with_agent(settings, [&](Agent& agent) -> Task<> {
    const auto error = co_await failure_of(agent.builds, venvs.recipe(of("needs==1.0\nneeded==2.0\n")));
    CHECK(error.code() == Code::invalid);
    CHECK(says(error, "needs 1.0 depends on needed<2"));
    CHECK(says(error, "Python environment (3."));
  });
}

TEST_CASE("uv builds an environment, and another from the files that it has") {
  const Place place;
  const auto uv = find_uv(place.scratch / "uv");
  SKIP_UNLESS(uv, "uv, on PATH or named by UV");
  const auto settings = settings_in(place.scratch / "environments");
  auto node = place.node();
  node.uv = *uv;
  Venvs venvs(node, settings.identity);
  with_agent(settings, [&](Agent& agent) -> Task<> {
    auto venv = of("needs\n-c limits.txt\n");
    venv.files["limits.txt"] = "needed<2\n";
    Waiting waiting;
    const auto first = co_await agent.builds.ensure(venvs.recipe(venv), waiting);
    CHECK(version_in(first, "needs") == "2.0\n");
    CHECK(version_in(first, "needed") == "1.0\n");
    CHECK(has(lock_of(first).at("pip"), "needed==1.0"));
    // Files that uv shares between environments must stay its own, or it could not link them again.
    const auto second = co_await agent.builds.ensure(venvs.recipe(of("needs==2.0\nother==1.0\n")), waiting);
    CHECK(version_in(second, "other") == "1.0\n");
    CHECK(os::read_file(waiting.build()->log).find("falling back") == std::string::npos);
    const auto error = co_await failure_of(agent.builds, venvs.recipe(of("needs==1.0\nneeded==2.0\n")));
    CHECK(error.code() == Code::invalid);
    CHECK(says(error, "depends on needed<2"));
    const auto locked = co_await agent.builds.ensure(venvs.recipe_of_lock(first.ready.lock), waiting);
    CHECK(lock_of(locked).at("pip") == lock_of(first).at("pip"));
  });
}

TEST_CASE("packages come from a real index") {
  const char* index = std::getenv("BERTH_TEST_PACKAGE_INDEX");
  SKIP_UNLESS(index != nullptr, "a package index, named by BERTH_TEST_PACKAGE_INDEX");
  const Place place;
  NodePython node;
  node.interpreters = {kPython};
  node.index_url = index;
  for (const auto* name : {"https_proxy", "no_proxy", "HTTPS_PROXY", "NO_PROXY", "PIP_CERT", "SSL_CERT_FILE"})
    if (const char* value = std::getenv(name)) node.variables.emplace_back(name, value);
  std::vector<std::string> tools{""};
  if (const auto uv = find_uv(place.scratch / "uv")) tools.push_back(*uv);
  const auto settings = settings_in(place.scratch / "environments");
  with_agent(settings, [&](Agent& agent) -> Task<> {
    for (const auto& tool : tools) {
      node.uv = tool;
      Venvs venvs(node, settings.identity);
      Waiting waiting;
      const auto leased = co_await agent.builds.ensure(venvs.recipe(of("six==1.16.0\n")), waiting);
      CHECK(has(lock_of(leased).at("pip"), "six==1.16.0"));
      const auto error = co_await failure_of(agent.builds, venvs.recipe(of("six==99.0\n")));
      CHECK(error.code() == Code::invalid);
      CHECK(says(error, "six==99.0"));
    }
  });
}

TEST_CASE("an index that does not answer is told apart from a requirement that cannot be met") {
  const Place place;
  auto node = place.node();
  node.offline = false;
  node.index_url = "http://127.0.0.1:9/simple";
  std::vector<std::string> tools{""};
  if (const auto uv = find_uv(place.scratch / "uv")) tools.push_back(*uv);
  node.variables = {{"PIP_RETRIES", "1"}, {"UV_HTTP_RETRIES", "0"}};
  const auto settings = settings_in(place.scratch / "environments");
  with_agent(settings, [&](Agent& agent) -> Task<> {
    for (const auto& tool : tools) {
      node.uv = tool;
      Venvs venvs(node, settings.identity);
      const auto error = co_await failure_of(agent.builds, venvs.recipe(of("absent\n")));
      CAPTURE(error.describe());
      CHECK(error.code() == Code::unavailable);
      CHECK(says(error, "the package index does not answer"));
    }
  });
}

TEST_CASE("kinds that this node does not make are told so") {
  const Place place;
  with_agent(settings_in(place.scratch / "environments"), [&](Agent& agent) -> Task<> {
    environment::Providers only_pythons;
    only_pythons.add(std::make_unique<environment::UserManagedProvider>());
    environment::Environments environments(std::move(only_pythons), {&agent.builds});
    const environment::Context anybody;
    const environment::Locked locked{"{\"kind\":\"conda\"}"};
    const environment::Image image{"debian:12", {}};
    environment::FromFiles conda;
    conda.kind = "conda";
    const std::vector<environment::Spec> specs{conda, spec_of(""), image, environment::DockerBuild{}, locked};
    for (const auto& spec : specs) {
      Waiting waiting;
      const auto result = co_await async::attempt(environments.ensure(spec, anybody, waiting));
      REQUIRE(!result);
      CHECK(result.error().code() == Code::unsupported);
      CHECK(says(result.error(), "this node does not make"));
    }
    Waiting waiting;
    const environment::UserManaged python{kPython};
    const auto leased = co_await environments.ensure(python, anybody, waiting);
    CHECK(leased.ready.interpreter == kPython);
    CHECK(!leased.lease);
  });
}
