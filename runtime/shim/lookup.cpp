#include "runtime/shim/lookup.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <optional>

#include "runtime/base/text.hpp"
#include "runtime/os/fd.hpp"
#include "runtime/os/file.hpp"
#include "runtime/os/identity.hpp"

namespace berth::shim {
namespace {

constexpr const char* kDefaultPath = "/usr/local/bin:/usr/bin:/bin";
constexpr int kNotFound = 127;
constexpr int kCannotRun = 126;

std::string search_path(const std::vector<std::string>& environment) {
  for (const auto& entry : environment)
    if (entry.starts_with("PATH=")) return entry.substr(5);
  return kDefaultPath;
}

std::string me() { return ::geteuid() == 0 ? "root" : "user id " + std::to_string(::geteuid()); }

// The first directory on the way to `path` that this user may not pass through; "" when all let him.
std::string closed_directory(const std::string& path) {
  for (std::size_t slash = path.find('/', 1); slash != std::string::npos; slash = path.find('/', slash + 1)) {
    const auto directory = path.substr(0, slash);
    if (::access(directory.c_str(), X_OK) < 0 && errno == EACCES) return directory;
  }
  return {};
}

std::string why_denied(const std::string& path) {
  const auto closed = closed_directory(path);
  return closed.empty() ? me() + " may not use it" : me() + " may not pass through " + printable(closed);
}

// Whether `path` can be executed, as far as it can be told without trying; nothing when it can.
std::optional<NotStarted> obstacle(const std::string& command, const std::string& path) {
  const auto shown = printable(command);
  struct stat info {};
  if (::stat(path.c_str(), &info) < 0) {
    if (errno == EACCES) return NotStarted{kCannotRun, shown + ": permission denied: " + why_denied(path)};
    if (errno == ENOENT || errno == ENOTDIR) {
      struct stat link {};
      if (::lstat(path.c_str(), &link) == 0)
        return NotStarted{kNotFound, shown + ": is a symbolic link to something that does not exist"};
      return NotStarted{kNotFound, shown + ": no such file"};
    }
    return NotStarted{kCannotRun, shown + ": " + std::strerror(errno)};
  }
  if (S_ISDIR(info.st_mode)) return NotStarted{kCannotRun, shown + ": is a directory, not a program"};
  if (::access(path.c_str(), X_OK) == 0) return std::nullopt;
  if ((info.st_mode & 0111) == 0)
    return NotStarted{kCannotRun, shown + ": is not executable; run `chmod +x " + printable(path) +
                                      "`, or name its interpreter, as in `bash " + printable(path) + "`"};
  return NotStarted{kCannotRun, shown + ": permission denied: " + me() +
                                    " may not execute it; check its owner and mode, and whether it lies on a "
                                    "noexec mount"};
}

std::variant<std::string, NotStarted> search(const std::string& name, const std::string& path) {
  std::optional<NotStarted> found_but;  // a match that cannot be run gives way to a later one that can
  for (std::size_t begin = 0; begin <= path.size();) {
    const auto end = std::min(path.find(':', begin), path.size());
    const auto directory = begin == end ? std::string(".") : path.substr(begin, end - begin);
    begin = end + 1;
    const auto candidate = os::join(directory, name);
    const auto problem = obstacle(candidate, candidate);
    if (!problem) return candidate;
    if (problem->exit_code == kCannotRun && !found_but && os::exists(candidate)) found_but = problem;
  }
  if (found_but) return *found_but;
  auto reason = printable(name) + ": command not found on PATH (" + printable(path) + ")";
  if (os::exists(name)) reason += "; the working directory has one: write ./" + printable(name);
  return NotStarted{kNotFound, reason};
}

// The interpreter of a script's first line; nothing when the file does not begin with "#!".
std::optional<std::string> interpreter_of(std::string_view head) {
  if (!head.starts_with("#!")) return std::nullopt;
  auto line = head.substr(2, head.find('\n') - 2);
  line.remove_prefix(std::min(line.find_first_not_of(" \t"), line.size()));
  return std::string(line.substr(0, line.find_first_of(" \t")));
}

std::string head_of(const std::string& path) {
  std::array<char, 256> buffer{};
  const os::Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!file) return {};
  const auto length = ::read(file.get(), buffer.data(), buffer.size());
  return length > 0 ? std::string(buffer.data(), static_cast<std::size_t>(length)) : std::string();
}

}  // namespace

std::variant<std::string, NotStarted> find_program(const std::string& command,
                                                   const std::vector<std::string>& environment) {
  if (command.empty()) return NotStarted{kNotFound, "the command is empty"};
  if (command.find('/') == std::string::npos) return search(command, search_path(environment));
  if (auto problem = obstacle(command, command)) return *problem;
  return command;
}

NotStarted explain_exec_failure(const std::string& command, const std::string& path, int error_number) {
  const auto shown = printable(command);
  const auto head = head_of(path);
  const auto interpreter = interpreter_of(head);
  if (interpreter && interpreter->ends_with('\r'))
    return {kCannotRun, shown +
                            ": its lines end in carriage returns, as on Windows, so that its interpreter cannot be "
                            "found; convert it: sed -i 's/\\r$//' " +
                            printable(path)};
  if (interpreter && (error_number == ENOENT || error_number == ENOTDIR || error_number == EACCES))
    return {kCannotRun, shown + ": bad interpreter: its first line names " + printable(*interpreter) + ", which " +
                            (error_number == EACCES ? "cannot be executed" : "does not exist on this machine")};
  if (error_number == ENOENT)
    return {kCannotRun, shown +
                            ": the loader it was built for does not exist on this machine (a program for another "
                            "system or C library)"};
  if (error_number == ENOEXEC && head.starts_with("\x7f"
                                                  "ELF"))
    return {kCannotRun, shown + ": is a program for another kind of machine"};
  if (error_number == ENOEXEC)
    return {kCannotRun, shown +
                            ": is neither a program nor a script with a #! line; put `#!/bin/sh` on its first line, "
                            "or name its interpreter, as in `bash " +
                            printable(path) + "`"};
  if (error_number == E2BIG)
    return {kCannotRun, shown + ": its arguments and environment are longer than the kernel allows"};
  return {kCannotRun, shown + ": cannot be executed: " + std::strerror(error_number)};
}

NotStarted explain_directory_failure(const std::string& directory, int error_number) {
  const auto shown = "the working directory " + printable(directory);
  if (error_number == ENOENT) return {kCannotRun, shown + " does not exist"};
  if (error_number == ENOTDIR) return {kCannotRun, shown + " is not a directory"};
  if (error_number == EACCES)
    return {kCannotRun, shown + " cannot be entered: " + why_denied(directory) + "; check its owner and mode"};
  return {kCannotRun, shown + " cannot be entered: " + std::strerror(error_number)};
}

}  // namespace berth::shim
