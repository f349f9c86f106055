#include "runtime/environment/user_managed.hpp"
#include "runtime/async/tool.hpp"

#include <doctest/doctest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <nlohmann/json.hpp>
#include <thread>

#include "runtime/base/error.hpp"
#include "runtime/os/file.hpp"
#include "runtime/os/spawn.hpp"
#include "tests/support/skip.hpp"

namespace environment = berth::environment;
namespace os = berth::os;
namespace async = berth::async;
using berth::Code;
using berth::Error;
using environment::Context;
using environment::UserManaged;
using environment::UserManagedProvider;

namespace {

constexpr const char* kPython = "/usr/bin/python3";

Error failure_of(UserManagedProvider& provider, const std::string& python, const Context& context = {}) {
  try {
    provider.look(UserManaged{python}, context);
  } catch (const Error& error) {
    return error;
  }
  FAIL("no error for " << python);
  return Error(Code::internal, "");
}

bool says(const Error& error, const std::string& text) { return error.describe().find(text) != std::string::npos; }

std::string script(const os::TempDir& directory, const std::string& name, const std::string& text,
                   unsigned mode = 0755) {
  const auto path = directory / name;
  os::write_file(path, text, mode, os::Durable::no);
  ::chmod(path.c_str(), mode);
  return path;
}

os::Finished run(std::vector<std::string> arguments) {
  auto finished = async::run_tool_here({.arguments = std::move(arguments), .environment = {"PATH=/usr/bin:/bin"}},
                                       {std::chrono::seconds(120)});
  CAPTURE(finished.errors);
  REQUIRE(finished.exit.status == 0);
  return finished;
}

// As pip leaves it, but for the code.
void install(const std::string& venv, const std::string& name, const std::string& version) {
  const auto found = run({"/bin/sh", "-c", "echo " + venv + "/lib/python3*/site-packages"}).output;
  const auto about = found.substr(0, found.size() - 1) + "/" + name + "-" + version + ".dist-info";
  os::make_directories(about);
  os::write_file(about + "/METADATA", "Metadata-Version: 2.1\nName: " + name + "\nVersion: " + version + "\n", 0644,
                 os::Durable::no);
}

// Files just made are not trusted to look different after another change; these have been there for a while.
void age(const std::string& tree) { run({"/usr/bin/find", tree, "-exec", "touch", "-h", "-d", "-1 hour", "{}", "+"}); }

std::vector<std::string> packages(const environment::Ready& ready) {
  return nlohmann::json::parse(ready.record).at("packages").get<std::vector<std::string>>();
}

std::optional<os::Identity> nobody() { return ::geteuid() == 0 ? os::identity_of(65534) : std::nullopt; }

}  // namespace

TEST_CASE("an interpreter given by path is used as it is and recorded with its packages") {
  UserManagedProvider provider;
  const auto ready = provider.look(UserManaged{kPython}, {});
  CHECK(ready.interpreter == kPython);
  CHECK(ready.path_prefix == "/usr/bin");
  CHECK(ready.variables.empty());
  const auto record = nlohmann::json::parse(ready.record);
  CHECK(record.at("kind") == "user-managed");
  CHECK(record.at("interpreter") == kPython);
  CHECK(record.at("implementation") == "CPython");
  CHECK("Python " + record.at("version").get<std::string>() + "\n" == run({kPython, "--version"}).output);
  CHECK(record.at("venv") == false);
  for (const auto& package : packages(ready)) CHECK(package.find("==") != std::string::npos);
}

TEST_CASE("a name is looked for on the job's PATH, past directories that have no such program") {
  const os::TempDir directory;
  os::make_directories(directory / "python3");
  script(directory, "plain", "not executable", 0644);
  UserManagedProvider provider;
  const auto ready = provider.look(UserManaged{}, {{}, "relative:" + directory.path() + "::/nowhere:/usr/bin"});
  CHECK(ready.interpreter == kPython);
  CHECK(ready.path_prefix.empty());
  CHECK_THROWS_AS(provider.look(UserManaged{"plain"}, {{}, directory.path()}), Error);
}

TEST_CASE("a venv is told by its own path, with VIRTUAL_ENV and its packages") {
  const os::TempDir directory;
  const auto venv = directory / "venv";
  run({kPython, "-m", "venv", "--without-pip", venv});
  install(venv, "left_pad", "1.2");
  UserManagedProvider provider;
  const auto ready = provider.look(UserManaged{venv + "/bin/python"}, {});
  CHECK(ready.interpreter == venv + "/bin/python");
  CHECK(ready.path_prefix == venv + "/bin");
  REQUIRE(ready.variables.size() == 1);
  CHECK(ready.variables[0] == std::pair<std::string, std::string>("VIRTUAL_ENV", venv));
  CHECK(packages(ready) == std::vector<std::string>{"left_pad==1.2"});
}

TEST_CASE("a known interpreter is asked again only when something was installed, or it was replaced") {
  const os::TempDir directory;
  const auto venv = directory / "venv";
  run({kPython, "-m", "venv", "--without-pip", venv});
  age(venv);
  const auto python = venv + "/bin/python";
  UserManagedProvider provider;
  provider.look(UserManaged{python}, {});
  provider.look(UserManaged{python}, {});
  CHECK(provider.looks() == 1);
  install(venv, "new", "3");
  CHECK(packages(provider.look(UserManaged{python}, {})) == std::vector<std::string>{"new==3"});
  CHECK(provider.looks() == 2);
  age(venv);
  provider.look(UserManaged{python}, {});
  provider.look(UserManaged{python}, {});
  CHECK(provider.looks() == 3);
  os::remove_file(python);
  script(directory, "venv/bin/python", "#!/bin/sh\necho no\n");
  CHECK(says(failure_of(provider, python), "is not a Python interpreter"));
}

TEST_CASE("equal requests at the same time share one look") {
  const os::TempDir directory;
  const auto venv = directory / "venv";
  run({kPython, "-m", "venv", "--without-pip", venv});
  age(venv);
  UserManagedProvider provider;
  std::vector<std::thread> threads;
  std::atomic<int> ready{0};
  for (int i = 0; i < 4; ++i)
    threads.emplace_back(
        [&] { ready += provider.look(UserManaged{venv + "/bin/python"}, {}).interpreter.empty() ? 0 : 1; });
  for (auto& thread : threads) thread.join();
  CHECK(ready == 4);
  CHECK(provider.looks() == 1);
}

TEST_CASE("a wrapper script is a Python, asked every time since it may choose another one") {
  const os::TempDir directory;
  const auto wrapper = script(directory, "python", "#!/bin/sh\necho chatter\nexec /usr/bin/python3 \"$@\"\n");
  UserManagedProvider provider;
  const auto ready = provider.look(UserManaged{wrapper}, {});
  CHECK(ready.interpreter == wrapper);
  CHECK(nlohmann::json::parse(ready.record).at("executable") == kPython);
  provider.look(UserManaged{wrapper}, {});
  CHECK(provider.looks() == 2);
}

TEST_CASE("what is no usable Python is told by name, reason and remedy") {
  const os::TempDir directory;
  UserManagedProvider provider(std::chrono::seconds(1));
  const auto check = [&](const std::string& python, Code code, const std::string& reason) {
    const auto error = failure_of(provider, python);
    CAPTURE(error.describe());
    CHECK(error.code() == code);
    CHECK(says(error, reason));
    CHECK(says(error, python));
    CHECK(!error.hint().empty());
  };
  check("/nowhere/python", Code::not_found, "does not exist");
  check("/usr/bin/python3/no", Code::not_found, "does not exist");
  check("no-such-python", Code::not_found, "on the job's PATH");
  check("bin/python", Code::invalid, "neither an absolute path nor a name");
  check(directory.path(), Code::invalid, "is a directory");
  check(script(directory, "plain", "#!/bin/sh\n", 0644), Code::denied, "is not executable");
  check(script(directory, "moved", "#!/nowhere/python\n"), Code::invalid, "is missing");
  check(script(directory, "data", "just text"), Code::io, "cannot be started");
  check(script(directory, "quiet", "#!/bin/sh\nexit 0\n"), Code::invalid, "is not a Python interpreter");
  check(script(directory, "cat", "#!/bin/sh\necho oops 1>&2\nexit 3\n"), Code::invalid, "exited with code 3: oops");
  check(script(directory, "liar", "#!/bin/sh\necho 'berth-environment:{}'\n"), Code::invalid,
        "is not a Python interpreter");
  check(script(directory, "crash", "#!/bin/sh\nkill -SEGV $$\n"), Code::invalid, "crashed (SIGSEGV)");
  check(script(directory, "hang", "#!/bin/sh\nsleep 1000\n"), Code::timeout, "did not answer within 1 seconds");
  check(script(directory, "flood", "#!/bin/sh\nexec yes\n"), Code::timeout, "did not answer within 1 seconds");
  check(script(directory, "closed", "#!/bin/sh\nexec >&- 2>&-\nsleep 1000\n"), Code::timeout, "did not answer");
}

TEST_CASE("a failed look is not remembered") {
  const os::TempDir directory;
  const auto python = script(directory, "python", "#!/bin/sh\nexit 1\n");
  UserManagedProvider provider;
  failure_of(provider, python);
  script(directory, "python", "#!/bin/sh\nexec /usr/bin/python3 \"$@\"\n");
  CHECK(provider.look(UserManaged{python}, {}).interpreter == python);
}

TEST_CASE("the interpreter runs as the job's user") {
  const auto identity = nobody();
  SKIP_UNLESS(identity, "root, who acts as others");
  const os::TempDir directory;
  ::chmod(directory.path().c_str(), 0755);
  const auto wrapper =
      script(directory, "python", "#!/bin/sh\n[ $(id -u) = 65534 ] || exit 9\nexec /usr/bin/python3 \"$@\"\n");
  UserManagedProvider provider;
  CHECK(provider.look(UserManaged{wrapper}, {identity}).interpreter == wrapper);
  CHECK(says(failure_of(provider, wrapper), "exited with code 9"));
}

TEST_CASE("an interpreter that the job's user may not run is told so, and PATH is searched further") {
  const auto identity = nobody();
  SKIP_UNLESS(identity, "root, who acts as others");
  const os::TempDir directory;  // closed to others
  script(directory, "python3", "#!/bin/sh\nexec /usr/bin/python3 \"$@\"\n");
  UserManagedProvider provider;
  const auto error = failure_of(provider, directory / "python3", {identity});
  CHECK(error.code() == Code::denied);
  CHECK(says(error, "exists, but user nobody may not run it"));
  CHECK(provider.look(UserManaged{}, {identity, directory.path() + ":/usr/bin"}).interpreter == kPython);
}

TEST_CASE("what one user may run is not taken as another's answer") {
  const auto identity = nobody();
  SKIP_UNLESS(identity, "root, who acts as others");
  const os::TempDir directory;
  run({kPython, "-m", "venv", "--without-pip", directory / "venv"});
  age(directory / "venv");
  const auto python = directory / "venv/bin/python";
  UserManagedProvider provider;
  provider.look(UserManaged{python}, {});
  CHECK(failure_of(provider, python, {identity}).code() == Code::denied);
}
