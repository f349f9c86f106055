#include "runtime/os/cgroup.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <vector>

#include "runtime/base/error.hpp"
#include "runtime/base/text.hpp"
#include "runtime/os/file.hpp"

namespace berth::os {
namespace {

constexpr std::uint64_t kCpuPeriodMicros = 100'000;  // the kernel's own default

bool is_cgroup2(const std::string& path) {
  struct statfs info {};
  return ::statfs(path.c_str(), &info) == 0 && info.f_type == CGROUP2_SUPER_MAGIC;
}

// Calls `visit` with each line, without its line end.
template <class Visit>
void each_line(std::string_view text, Visit visit) {
  while (!text.empty()) {
    const auto end = std::min(text.find('\n'), text.size());
    visit(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
}

template <class Visit>
void each_word(std::string_view text, Visit visit) {
  constexpr std::string_view kBlanks = " \n\t";
  for (std::size_t at = 0; (at = text.find_first_not_of(kBlanks, at)) != std::string_view::npos;) {
    const auto end = std::min(text.find_first_of(kBlanks, at), text.size());
    visit(text.substr(at, end - at));
    at = end;
  }
}

bool has_word(std::string_view text, std::string_view wanted) {
  bool found = false;
  each_word(text, [&](std::string_view word) { found = found || word == wanted; });
  return found;
}

// The field of /proc/self/mounts at the front, taken off; blanks in it stand as \040, which no cgroup path
// has.
std::string_view take_field(std::string_view& line) {
  const auto end = std::min(line.find(' '), line.size());
  const auto field = line.substr(0, end);
  line.remove_prefix(std::min(end + 1, line.size()));
  return field;
}

std::vector<std::string> cgroup2_mounts() {
  std::vector<std::string> mounts;
  each_line(read_file("/proc/self/mounts"), [&](std::string_view line) {
    take_field(line);
    const auto target = take_field(line);
    if (take_field(line) == "cgroup2") mounts.emplace_back(target);
  });
  return mounts;
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
std::optional<std::uint64_t> keyed(std::string_view text, std::string_view key) {
  std::optional<std::uint64_t> value;
  each_line(text, [&](std::string_view line) {
    if (line.starts_with(key) && line.size() > key.size() && line[key.size()] == ' ')
      value = parse_number(line.substr(key.size() + 1));
  });
  return value;
}

std::optional<std::string> read_interface(const Fd& directory, const char* name) {
  const Fd file(::openat(directory.get(), name, O_RDONLY | O_CLOEXEC));
  if (!file) return std::nullopt;
  return read_all(file, 1U << 20);
}

// Calls `visit` with the name of each group directly below.
template <class Visit>
void each_child(const Fd& directory, Visit visit) {
  const int listing = ::openat(directory.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR* entries = listing < 0 ? nullptr : ::fdopendir(listing);
  if (entries == nullptr) return;
  while (const dirent* entry = ::readdir(entries))
    if (entry->d_type == DT_DIR && entry->d_name[0] != '.') visit(std::string(entry->d_name));
  ::closedir(entries);
}

void collect_processes(const Fd& directory, std::vector<pid_t>& pids) {
  if (const auto text = read_interface(directory, "cgroup.procs"))
    each_line(*text, [&](std::string_view line) {
      if (const auto pid = parse_number(line)) pids.push_back(static_cast<pid_t>(*pid));
    });
  each_child(directory, [&](const std::string& name) {
    const Fd child(::openat(directory.get(), name.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (child) collect_processes(child, pids);
  });
}

// False while a process is left in one of them.
bool remove_below(const Fd& directory) {
  bool removed = true;
  each_child(directory, [&](const std::string& name) {
    const Fd child(::openat(directory.get(), name.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (child && !remove_below(child)) removed = false;
    if (::unlinkat(directory.get(), name.c_str(), AT_REMOVEDIR) < 0 && errno != ENOENT) removed = false;
  });
  return removed;
}

void write_interface(const Fd& directory, const char* name, std::string_view value) {
  write_all(open_at(directory, name, O_WRONLY), value);
}

}  // namespace

// The line "0::/path" of /proc/PID/cgroup.
std::optional<std::string> group_of(pid_t process) {
  const auto text = read_file_if_exists("/proc/" + std::to_string(process) + "/cgroup");
  if (!text) return std::nullopt;
  std::string group = "/";
  each_line(*text, [&](std::string_view line) {
    if (line.starts_with("0::")) group = line.substr(3);
  });
  return group;
}

std::optional<std::string> directory_of_group(const std::string& group) {
  for (const auto& mount : cgroup2_mounts())
    if (exists(mount + group)) return mount + group;
  return std::nullopt;
}

std::optional<std::string> find_cgroup_base(const std::string& configured) {
  if (!configured.empty()) return can_make_groups(configured) ? std::optional(configured) : std::nullopt;
  const auto own = group_of(::getpid()).value_or("/");
  for (const auto& mount : cgroup2_mounts()) {
    if (own != "/" && can_make_groups(mount + own)) return mount + own;
    if (can_make_groups(mount)) return mount;
  }
  return std::nullopt;
}

Cgroup Cgroup::make(const std::string& base, const std::string& name) { return make(join(base, name)); }

Cgroup Cgroup::make(const std::string& path) {
  make_directories(parent_of(path));
  if (!is_cgroup2(parent_of(path)))
    throw Error(Code::unsupported, printable(path) + " is not on a cgroup2 file system");
  if (::mkdir(path.c_str(), 0755) < 0 && errno != EEXIST) throw_errno("make control group", path);
  return Cgroup(path, os::open(path, O_RDONLY | O_DIRECTORY));
}

std::optional<Cgroup> Cgroup::open(const std::string& path) {
  Fd directory(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory) return std::nullopt;
  return Cgroup(path, std::move(directory));
}

std::vector<std::string> Cgroup::enable_controllers() const {
  const auto available = read_interface(directory_, "cgroup.controllers").value_or("");
  std::vector<std::string> enabled;
  for (const char* controller : {"memory", "cpu", "pids", "io"}) {
    if (!has_word(available, controller)) continue;
    try {
      write_interface(directory_, "cgroup.subtree_control", std::string("+") + controller);
      enabled.emplace_back(controller);
    } catch (const Error&) {  // not delegated
    }
  }
  return enabled;
}

void Cgroup::limit(const Limits& limits) const {
  const auto set = [&](const char* name, const std::string& value) {
    if (::faccessat(directory_.get(), name, F_OK, 0) == 0) write_interface(directory_, name, value);
  };
  if (limits.memory) {
    set("memory.max", std::to_string(*limits.memory));
    set("memory.swap.max", "0");
  }
  set("memory.oom.group", "1");  // or what forks what is killed would keep the machine out of memory
  if (limits.cpu_milli)
    set("cpu.max",
        std::to_string(*limits.cpu_milli * kCpuPeriodMicros / 1000) + " " + std::to_string(kCpuPeriodMicros));
  if (limits.pids) set("pids.max", std::to_string(*limits.pids));
  set("cpu.weight", std::to_string(limits.cpu_weight));
}

void Cgroup::add(pid_t pid) const { write_interface(directory_, "cgroup.procs", std::to_string(pid)); }
void Cgroup::kill() const { write_interface(directory_, "cgroup.kill", "1"); }

bool Cgroup::populated() const {
  const auto events = read_interface(directory_, "cgroup.events");
  return events && keyed(*events, "populated") == 1U;
}

std::vector<pid_t> Cgroup::processes() const {
  std::vector<pid_t> pids;
  collect_processes(directory_, pids);
  return pids;
}

std::optional<Cgroup::Cpu> Cgroup::cpu_micros() const {
  const auto stat = read_interface(directory_, "cpu.stat");
  if (!stat || !keyed(*stat, "usage_usec")) return std::nullopt;
  return Cpu{*keyed(*stat, "usage_usec"), keyed(*stat, "user_usec").value_or(0),
             keyed(*stat, "system_usec").value_or(0)};
}

std::optional<std::uint64_t> Cgroup::peak_memory() const {
  const auto peak = read_interface(directory_, "memory.peak");
  return peak ? parse_number(*peak) : std::nullopt;
}

std::optional<std::uint64_t> Cgroup::current_memory() const {
  const auto current = read_interface(directory_, "memory.current");
  return current ? parse_number(*current) : std::nullopt;
}

std::optional<std::uint64_t> Cgroup::memory_limit() const {
  const auto limit = read_interface(directory_, "memory.max");
  return limit ? parse_number(*limit) : std::nullopt;  // "max" is no number
}

std::optional<Cgroup::Io> Cgroup::io_bytes() const {
  const auto stat = read_interface(directory_, "io.stat");
  if (!stat) return std::nullopt;
  Io io;
  each_word(*stat, [&](std::string_view word) {
    const auto value = [&](std::string_view key) {
      return word.starts_with(key) ? parse_number(word.substr(key.size())).value_or(0) : 0;
    };
    io.read += value("rbytes=");
    io.written += value("wbytes=");
  });
  return io;
}

std::uint64_t Cgroup::out_of_memory_kills() const {
  const auto events = read_interface(directory_, "memory.events");
  return events ? keyed(*events, "oom_kill").value_or(0) : 0;
}

bool Cgroup::remove() const {
  if (::rmdir(path_.c_str()) == 0 || errno == ENOENT) return true;
  if (errno != EBUSY && errno != ENOTEMPTY) throw_errno("remove control group", path_);
  return remove_below(directory_) && (::rmdir(path_.c_str()) == 0 || errno == ENOENT);
}

}  // namespace berth::os
