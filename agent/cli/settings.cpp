#include "agent/cli/settings.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include "runtime/base/error.hpp"
#include "runtime/os/file.hpp"
#include "runtime/os/identity.hpp"

namespace berth::cli {
namespace {

// Of the package; the socket itself is not there while its unit is stopped.
constexpr const char* kSocketUnit = "/lib/systemd/system/berthd.socket";

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

// XDG: a relative path in such a variable is to be ignored.
std::string xdg_directory(const char* name, const char* below_home) {
  const auto given = variable(name);
  return given.starts_with('/') ? given : os::join(home_directory(), below_home);
}

bool same_directory(const std::string& a, const char* b) {
  struct stat first {};
  struct stat second {};
  return ::stat(a.c_str(), &first) == 0 && ::stat(b, &second) == 0 && first.st_ino == second.st_ino &&
         first.st_dev == second.st_dev;
}

}  // namespace

std::string home_directory() {
  if (auto home = variable("HOME"); home.starts_with('/')) return home;
  const auto identity = os::identity_of(::getuid());
  return identity ? identity->home : "";
}

std::string own_socket() { return os::join(xdg_directory("XDG_STATE_HOME", ".local/state"), "berth/berth.sock"); }

std::string socket_path(const Common& common) {
  if (!common.socket.empty()) return common.socket;
  if (auto given = variable("BERTH_SOCKET"); !given.empty()) return given;
  auto own = own_socket();
  if (os::exists(own)) return own;
  return os::exists(kMachineSocket) || os::exists(kSocketUnit) ? kMachineSocket : own;
}

Whose whose_agent(const Common& common) {
  const auto path = socket_path(common);
  if (path == kMachineSocket) return Whose::machine;
  return path == own_socket() ? Whose::own : Whose::named;
}

std::string socket_words(const Common& common) {
  const auto path = socket_path(common);
  switch (whose_agent(common)) {
    case Whose::named:
      return path;
    case Whose::own:
      return path + (os::exists(kMachineSocket)
                         ? std::string(" (your own agent; the machine's is on ") + kMachineSocket + ", see --socket)"
                         : " (your own agent)");
    case Whose::machine:
      break;
  }
  return path + " (the machine's agent)";
}

std::string cache_directory() { return os::join(xdg_directory("XDG_CACHE_HOME", ".cache"), "berth"); }

std::string current_directory() {
  if (auto seen = variable("PWD"); seen.starts_with('/') && same_directory(seen, ".")) return seen;
  std::error_code failure;
  auto found = std::filesystem::current_path(failure);
  if (failure)
    throw Error(Code::not_found, "cannot tell the current directory: " + failure.message(),
                "it was probably removed; cd into another one");
  return found.string();
}

}  // namespace berth::cli
