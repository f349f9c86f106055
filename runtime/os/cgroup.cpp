#include "runtime/os/cgroup.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <linux/magic.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <sstream>
#include <vector>

#include "runtime/base/error.hpp"
#include "runtime/os/file.hpp"

namespace berth::os {
namespace {

bool is_cgroup2(const std::string& path) {
  struct statfs info {};
  return ::statfs(path.c_str(), &info) == 0 && info.f_type == CGROUP2_SUPER_MAGIC;
}

std::vector<std::string> cgroup2_mounts() {
  std::vector<std::string> mounts;
  std::istringstream lines(read_file("/proc/self/mounts"));
  for (std::string line; std::getline(lines, line);) {
    std::istringstream fields(line);
    std::string source;
    std::string target;
    std::string type;
    if (fields >> source >> target >> type && type == "cgroup2") mounts.push_back(target);
  }
  return mounts;
}

// This process' group in the version 2 hierarchy: the line "0::/path".
std::string own_group() {
  std::istringstream lines(read_file("/proc/self/cgroup"));
  for (std::string line; std::getline(lines, line);)
    if (line.starts_with("0::")) return line.substr(3);
  return "/";
}

// Access rights alone do not tell: try it.
bool can_make_groups(const std::string& base) {
  if (!is_cgroup2(base)) return false;
  const auto probe = join(base, "berth-probe-" + std::to_string(::getpid()));
  if (::mkdir(probe.c_str(), 0755) < 0) return false;
  const bool killable = exists(probe + "/cgroup.kill");
  ::rmdir(probe.c_str());
  return killable;
}

std::optional<std::uint64_t> parse_number(std::string_view text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() ? std::optional(value) : std::nullopt;
}

// The value of `key` in a flat keyed file such as cpu.stat.
std::optional<std::uint64_t> keyed(const std::string& text, std::string_view key) {
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);)
    if (line.starts_with(key) && line.size() > key.size() && line[key.size()] == ' ')
      return parse_number(std::string_view(line).substr(key.size() + 1));
  return std::nullopt;
}

std::optional<std::string> read_interface(const Fd& directory, const char* name) {
  const Fd file(::openat(directory.get(), name, O_RDONLY | O_CLOEXEC));
  if (!file) return std::nullopt;
  return read_all(file, 1U << 20);
}

void write_interface(const Fd& directory, const char* name, std::string_view value) {
  write_all(open_at(directory, name, O_WRONLY), value);
}

}  // namespace

std::optional<std::string> find_cgroup_base(const std::string& configured) {
  if (!configured.empty()) return can_make_groups(configured) ? std::optional(configured) : std::nullopt;
  const auto own = own_group();
  for (const auto& mount : cgroup2_mounts()) {
    if (own != "/" && can_make_groups(mount + own)) return mount + own;
    if (can_make_groups(mount)) return mount;
  }
  return std::nullopt;
}

Cgroup Cgroup::make(const std::string& base, const std::string& name) {
  make_directories(base);
  const auto path = join(base, name);
  if (::mkdir(path.c_str(), 0755) < 0 && errno != EEXIST) throw_errno("make control group", path);
  return Cgroup(path, os::open(path, O_RDONLY | O_DIRECTORY));
}

std::optional<Cgroup> Cgroup::open(const std::string& path) {
  Fd directory(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory) return std::nullopt;
  return Cgroup(path, std::move(directory));
}

void Cgroup::add(pid_t pid) const { write_interface(directory_, "cgroup.procs", std::to_string(pid)); }
void Cgroup::kill() const { write_interface(directory_, "cgroup.kill", "1"); }

bool Cgroup::populated() const {
  const auto events = read_interface(directory_, "cgroup.events");
  return events && keyed(*events, "populated") == 1U;
}

Fd Cgroup::open_events() const { return open_at(directory_, "cgroup.events", O_RDONLY); }

std::optional<std::uint64_t> Cgroup::cpu_micros() const {
  const auto stat = read_interface(directory_, "cpu.stat");
  return stat ? keyed(*stat, "usage_usec") : std::nullopt;
}

std::optional<std::uint64_t> Cgroup::peak_memory() const {
  const auto peak = read_interface(directory_, "memory.peak");
  return peak ? parse_number(*peak) : std::nullopt;
}

bool Cgroup::remove() const {
  if (::rmdir(path_.c_str()) == 0 || errno == ENOENT) return true;
  if (errno == EBUSY || errno == ENOTEMPTY) return false;
  throw_errno("remove control group", path_);
}

}  // namespace berth::os
