#include "runtime/environment/python.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "runtime/async/errand.hpp"
#include "runtime/base/error.hpp"
#include "runtime/base/json.hpp"
#include "runtime/base/text.hpp"
#include "runtime/os/file.hpp"

namespace berth::environment {
namespace {

constexpr std::string_view kMark = "berth-environment:";

// Works from Python 2.7 on. The mark finds the answer among what a sitecustomize may print.
constexpr const char* kQuestion = R"(
import sys
sys.path[:] = [p for p in sys.path if p]
import json, os, platform, site, sysconfig
packages = {}
def add(name, version):
    if name: packages.setdefault(name.lower().replace('_', '-'), name + '==' + (version or 'unknown'))
try:
    from importlib.metadata import distributions
    for found in distributions():
        about = found.metadata
        add(about['Name'], about['Version'])
except ImportError:
    try:
        import pkg_resources
        for found in pkg_resources.working_set: add(found.project_name, found.version)
    except ImportError:
        pass
locations = sys.path + [sys.executable, os.path.join(sys.prefix, 'pyvenv.cfg')]
if getattr(site, 'ENABLE_USER_SITE', False): locations.append(site.getusersitepackages())
print('\nberth-environment:' + json.dumps({
    'version': platform.python_version(), 'implementation': platform.python_implementation(),
    'platform': sysconfig.get_platform(), 'executable': sys.executable or '', 'prefix': sys.prefix,
    'venv': sys.prefix != getattr(sys, 'base_prefix', sys.prefix),
    'packages': [packages[key] for key in sorted(packages)], 'locations': locations}))
)";

std::string whose(const std::optional<os::Identity>& identity) {
  return identity ? "user " + identity->name : "this user";
}

std::string last_line(const std::string& text) {
  const auto end = text.find_last_not_of(" \n\r\t");
  if (end == std::string::npos) return {};
  const auto begin = text.rfind('\n', end);
  return printable(std::string_view(text).substr(begin + 1, std::min<std::size_t>(end - begin, 300)));
}

// Why starting it failed, in the words of somebody who wants to run a job.
[[noreturn]] void explain(const Error& failure, const std::string& path, const std::optional<os::Identity>& identity) {
  const auto name = printable(path);
  struct stat info {};
  const bool there = ::stat(path.c_str(), &info) == 0;
  if (there && S_ISDIR(info.st_mode))
    throw Error(Code::invalid, "the Python interpreter " + name + " is a directory",
                "name the program in it, such as " + name + "/bin/python");
  if (there && failure.code() == Code::denied && (info.st_mode & 0111) == 0)
    throw Error(Code::denied, "the Python interpreter " + name + " is not executable", "chmod +x it, or name another");
  if (there && failure.code() == Code::denied)
    throw Error(Code::denied, "the Python interpreter " + name + " exists, but " + whose(identity) + " may not run it",
                "open it and the directories above it to that user, or name one that all users may run");
  if (there && failure.code() == Code::not_found)
    throw Error(Code::invalid, "the Python interpreter " + name + " cannot start: the program that it names is missing",
                "a moved or half removed environment: make it again, or name another interpreter");
  if (failure.code() == Code::not_found || failure.code() == Code::denied)
    throw Error(Code::not_found, "the Python interpreter " + name + " does not exist for " + whose(identity),
                "check --python, or install it");
  throw Error(failure.code(), "the Python interpreter " + name + " cannot be started: " + failure.message(),
              "check that it is a program for this machine")
      .for_lack_of(failure.lack());
}

os::Finished ask(const std::string& path, const std::optional<os::Identity>& identity, std::chrono::seconds patience,
                 const async::ErrandGround& ground, const std::stop_token& stop) {
  std::vector<std::string> environment{"PATH=/usr/local/bin:/usr/bin:/bin", "LC_ALL=C.UTF-8"};
  const auto self = identity ? identity : os::identity_of(::geteuid());
  if (self) environment.push_back("HOME=" + self->home);
  os::SpawnOptions options{.arguments = {path, "-B", "-c", kQuestion},
                           .environment = std::move(environment),
                           .working_directory = "/",
                           .identity = identity};
  async::Errand errand(ground, std::move(options));
  os::Finished finished;
  try {
    finished = errand.run(patience, stop);
  } catch (const Error& failure) {
    if (failure.code() == Code::timeout)
      throw Error(Code::timeout,
                  "the Python interpreter " + printable(path) + " did not answer within " +
                      std::to_string(patience.count()) + " seconds",
                  "run it by hand; a file system that hangs, or a wrapper that waits for input, does this");
    explain(failure, path, identity);
  }
  if (errand.out_of_memory())
    throw Error(Code::too_large, "the Python interpreter " + printable(path) + " ran out of memory as it was looked at",
                "run `" + printable(path) + " -c 'import site'` by hand");
  return finished;
}

[[noreturn]] void no_answer(const std::string& path, const os::Finished& finished) {
  const auto name = printable(path);
  const auto said = last_line(finished.errors);
  const auto tail = said.empty() ? "" : ": " + said;
  if (finished.exit.signalled)
    throw Error(Code::invalid,
                "the Python interpreter " + name + " crashed (" + os::signal_name(finished.exit.status) + ")" + tail,
                "run `" + name + " -c 'import site'` by hand");
  if (finished.exit.status != 0)
    throw Error(Code::invalid,
                name + " did not answer as a Python interpreter does; it exited with code " +
                    std::to_string(finished.exit.status) + tail,
                "name a working Python with --python");
  throw Error(Code::invalid, name + " is not a Python interpreter" + tail, "name one with --python");
}

Python parse(std::string_view answer) {
  const auto json = read_json(answer, {.bytes = 4U << 20, .values = 100'000, .depth = 8});
  Python python;
  json.at("version").get_to(python.version);
  json.at("implementation").get_to(python.implementation);
  json.at("platform").get_to(python.platform);
  json.at("executable").get_to(python.executable);
  json.at("prefix").get_to(python.prefix);
  json.at("venv").get_to(python.is_venv);
  json.at("packages").get_to(python.packages);
  json.at("locations").get_to(python.locations);
  return python;
}

bool is_program(const std::string& path) {
  struct stat info {};
  return ::stat(path.c_str(), &info) == 0 && S_ISREG(info.st_mode) && (info.st_mode & 0111) != 0;
}

}  // namespace

std::vector<std::string> find_python(const std::string& python, const std::string& path) {
  if (python.starts_with('/')) return {python};
  if (python.empty() || python.find('/') != std::string::npos)
    throw Error(Code::invalid,
                "the Python interpreter '" + printable(python) + "' is neither an absolute path nor a name",
                "give its whole path");
  std::vector<std::string> found;
  for (std::size_t at = 0; at <= path.size();) {
    const auto end = std::min(path.find(':', at), path.size());
    const auto directory = path.substr(at, end - at);
    at = end + 1;
    // Relative entries would mean another program in every directory.
    if (directory.starts_with('/') && is_program(os::join(directory, python)))
      found.push_back(os::join(directory, python));
  }
  if (found.empty())
    throw Error(Code::not_found, "no '" + printable(python) + "' on the job's PATH (" + printable(path) + ")",
                "install Python, or name an interpreter by its whole path");
  return found;
}

Python look_at_python(const std::string& path, const std::optional<os::Identity>& identity,
                      std::chrono::seconds patience, const async::ErrandGround& ground, const std::stop_token& stop) {
  const auto finished = ask(path, identity, patience, ground, stop);
  const auto at = finished.output.rfind(kMark);
  if (finished.exit.signalled || finished.exit.status != 0 || at == std::string::npos) no_answer(path, finished);
  try {
    const auto answer = std::string_view(finished.output).substr(at + kMark.size());
    auto python = parse(answer.substr(0, answer.find('\n')));
    python.path = path;
    return python;
  } catch (const nlohmann::json::exception&) {
    no_answer(path, finished);
  } catch (const Error&) {
    no_answer(path, finished);
  }
}

Stamp stamp_of(const std::string& path) {
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) return {};
  return {info.st_dev, info.st_ino, info.st_mtim.tv_sec * 1'000'000'000LL + info.st_mtim.tv_nsec};
}

}  // namespace berth::environment
