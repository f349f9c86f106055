#include "runtime/os/sandbox.hpp"

#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/fsuid.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <climits>
#include <cstring>
#include <filesystem>
#include <map>

#include "runtime/base/error.hpp"
#include "runtime/base/text.hpp"
#include "runtime/os/child.hpp"
#include "runtime/os/fd.hpp"
#include "runtime/os/file.hpp"
#include "runtime/os/mount.hpp"
#include "runtime/os/spawn.hpp"

namespace berth::os {
namespace {

// Of linux/mount.h, which cannot stand beside sys/mount.h everywhere.
constexpr unsigned kCloneTree = 1;               // OPEN_TREE_CLONE
constexpr unsigned kRecursive = 0x8000;          // AT_RECURSIVE
constexpr unsigned kFromDescriptor = 4;          // MOVE_MOUNT_F_EMPTY_PATH
constexpr std::uint64_t kReadOnly = 1;           // MOUNT_ATTR_RDONLY
constexpr std::uint64_t kNoSetUid = 2;           // MOUNT_ATTR_NOSUID
constexpr std::uint64_t kNoDevices = 4;          // MOUNT_ATTR_NODEV
struct MountAttributes {
  std::uint64_t set = 0;
  std::uint64_t clear = 0;
  std::uint64_t propagation = 0;
  std::uint64_t user_namespace = 0;
};

constexpr rlim_t kMostProcesses = 4096;

// Where the new root is put together; what was there is hidden from then on, but has been opened before.
constexpr const char* kRoot = "/tmp";
constexpr std::array kSystem{"/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/etc", "/opt", "/nix"};
// Read by the C library, and often links to what is not there otherwise.
constexpr std::array kSystemFiles{"/etc/resolv.conf", "/etc/hosts", "/etc/localtime"};
constexpr std::array kDevices{"/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty"};
constexpr std::array kNeverGiven{"/proc", "/sys", "/dev", "/run", "/var/run"};

bool is_within(std::string_view path, std::string_view directory) {
  return path.starts_with(directory) &&
         (path.size() == directory.size() || directory == "/" || path[directory.size()] == '/');
}

template <class Places>
bool is_within_any(const std::string& path, const Places& places) {
  return std::any_of(places.begin(), places.end(), [&](const auto& place) { return is_within(path, place); });
}

std::string normal(const std::string& path) {
  auto text = std::filesystem::path(path).lexically_normal().string();
  while (text.size() > 1 && text.back() == '/') text.pop_back();
  return text;
}

std::string real_path_of(const Fd& fd) {
  std::array<char, PATH_MAX> buffer{};
  const auto link = "/proc/self/fd/" + std::to_string(fd.get());
  const auto length = ::readlink(link.c_str(), buffer.data(), buffer.size());
  return length > 0 ? std::string(buffer.data(), static_cast<std::size_t>(length)) : std::string();
}

// A copy of the mounts at what is open, attached to nothing yet.
Fd clone_tree(const Fd& place, std::uint64_t attributes, const std::string& path) {
  Fd tree(
      static_cast<int>(::syscall(SYS_open_tree, place.get(), "", kCloneTree | O_CLOEXEC | kRecursive | AT_EMPTY_PATH)));
  if (!tree) throw_errno("copy the mount of", printable(path));
  MountAttributes wanted;
  wanted.set = attributes;
  wanted.propagation = MS_PRIVATE;
  if (::syscall(SYS_mount_setattr, tree.get(), "", AT_EMPTY_PATH | kRecursive, &wanted, sizeof wanted) < 0)
    throw_errno("protect the mount of", printable(path));
  return tree;
}

void mount_memory(const std::string& target, const std::string& options) {
  if (::mount("tmpfs", target.c_str(), "tmpfs", MS_NODEV | MS_NOSUID, options.c_str()) < 0)
    throw_errno("mount a file system in memory on", target);
}

// While it lives, files are opened as that user, whose groups this process has from then on.
class Reaching {
 public:
  explicit Reaching(const std::optional<Identity>& identity) {
    if (!identity || ::geteuid() != 0) return;
    if (::setgroups(identity->groups.size(), identity->groups.data()) < 0) throw_errno("take", "the user's groups");
    as_.emplace(identity->uid, identity->gid);
  }

 private:
  std::optional<ActAs> as_;
};

// The new root, put together from mounts that are opened while the old one is still there.
class Root {
 public:
  Root(const Sandbox& sandbox, const std::optional<Identity>& identity) : sandbox_(sandbox) {
    for (const auto& path : sandbox.hidden) hidden_.push_back(normal(path));
    for (const auto* path : kSystem) add_system(path);
    add_system("/sys");
    for (const auto* path : kSystemFiles) add_system_file(path);
    add_devices();
    for (const auto& path : sandbox.writable) add(normal(path), open(normal(path), O_PATH), kNoSetUid | kNoDevices);
    if (!sandbox.tmp.empty())
      for (const auto* path : {"/tmp", "/var/tmp"}) add(path, open(sandbox.tmp, O_PATH), kNoSetUid | kNoDevices);
    const Reaching reaching(identity);
    for (const auto& path : sandbox.readable) add_input(normal(path));
  }

  void build() {
    mount_memory(kRoot, "mode=0755,size=64m");
    for (const auto& [path, target] : links_)
      if (::symlink(target.c_str(), (kRoot + path).c_str()) < 0) throw_errno("link", path);
    for (const auto* path : {"/tmp", "/var/tmp"})
      if (sandbox_.tmp.empty()) make_tmp(path);
    for (auto& [path, mount] : mounts_) attach(path, mount);
    hide(kRoot + std::string("/sys/fs/cgroup"));
    make_shared_memory();
    make_device_links();
    make_processes();
    if (::mount(nullptr, kRoot, nullptr, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV, nullptr) < 0)
      throw_errno("protect", "the new root");
  }

  static void enter() {
    if (::chdir(kRoot) < 0 || ::syscall(SYS_pivot_root, ".", ".") < 0) throw_errno("enter", "the new root");
    if (::umount2(".", MNT_DETACH) < 0 || ::chdir("/") < 0) throw_errno("leave", "the old root");
  }

 private:
  struct Mount {
    Fd tree;  // empty: a place that is hidden
    bool directory = true;
    bool covers = false;  // what is below it is there with it
  };

  void add(const std::string& path, const Fd& place, std::uint64_t attributes) {
    struct stat info {};
    if (::fstat(place.get(), &info) < 0) throw_errno("look at", printable(path));
    mounts_[path] = Mount{clone_tree(place, attributes, path), S_ISDIR(info.st_mode), (attributes & kReadOnly) != 0};
  }

  void add_system(const std::string& path) {
    struct stat info {};
    if (::lstat(path.c_str(), &info) < 0) return;
    if (S_ISLNK(info.st_mode)) {
      links_[path] = std::filesystem::read_symlink(path).string();
      return;
    }
    add(path, open(path, O_PATH), kReadOnly | kNoSetUid | kNoDevices);
    cover(path);
  }

  void add_system_file(const std::string& path) {
    const Fd place(::open(path.c_str(), O_PATH | O_CLOEXEC));
    if (!place) return;
    const auto real = real_path_of(place);
    if (!real.empty() && !is_covered(real)) add(real, place, kReadOnly | kNoSetUid | kNoDevices);
  }

  // GPUs too: what suits them is chosen by looking at them.
  void add_devices() {
    std::vector<std::string> devices(kDevices.begin(), kDevices.end());
    std::error_code failure;
    for (const auto& entry : std::filesystem::directory_iterator("/dev", failure))
      if (entry.path().filename().string().starts_with("nvidia")) devices.push_back(entry.path().string());
    for (const auto& path : devices)
      if (const Fd place(::open(path.c_str(), O_PATH | O_CLOEXEC)); place) add(path, place, kNoSetUid);
  }

  void add_input(const std::string& path) {
    if (path.empty() || path.front() != '/' || !may_be_given(path)) return;
    const Fd place(::open(path.c_str(), O_PATH | O_CLOEXEC));
    if (!place) return;
    const auto real = real_path_of(place);
    if (!may_be_given(real)) return;
    for (const auto& name : {path, real}) {
      if (is_covered(name) || mounts_.contains(name)) continue;
      add(name, place, kReadOnly | kNoSetUid | kNoDevices);
      cover(name);
    }
  }

  bool may_be_given(const std::string& path) const {
    return path.size() > 1 && !is_within_any(path, hidden_) && !is_within_any(path, kNeverGiven);
  }

  // By the mount of something above it, or by a link into such a one ("/bin").
  bool is_covered(const std::string& path) const {
    const auto in_link = [&](const auto& one) { return is_within(path, one.first); };
    if (std::any_of(links_.begin(), links_.end(), in_link)) return true;
    return std::any_of(mounts_.begin(), mounts_.end(), [&](const auto& one) {
      return one.second.covers && one.second.directory && is_within(path, one.first);
    });
  }

  // What a mount would show of places that are hidden.
  void cover(const std::string& path) {
    for (const auto& place : hidden_)
      if (is_within(place, path)) mounts_.try_emplace(place);
  }

  // Parents stand before what is in them.
  static void attach(const std::string& path, Mount& mount) {
    const auto target = kRoot + path;
    if (!mount.tree) return hide(target);
    make_point(target, mount.directory);
    if (::syscall(SYS_move_mount, mount.tree.get(), "", AT_FDCWD, target.c_str(), kFromDescriptor) < 0)
      throw_errno("mount", printable(path));
    mount.tree.reset();
  }

  static void make_point(const std::string& target, bool directory) {
    make_directories(parent_of(target), 0755);
    if (directory) return make_directories(target, 0755);
    if (exists(target)) return;
    const Fd file(::open(target.c_str(), O_CREAT | O_WRONLY | O_NOFOLLOW | O_CLOEXEC, 0644));
    if (!file) throw_errno("make", printable(target));
  }

  static void hide(const std::string& target) {
    struct stat info {};
    if (::lstat(target.c_str(), &info) == 0 && S_ISDIR(info.st_mode)) mount_memory(target, "mode=0755,size=64m");
  }

  static void make_tmp(const std::string& path) {
    make_directories(kRoot + path, 0755);
    mount_memory(kRoot + path, "mode=1777,size=1g");
  }

  void make_shared_memory() const {
    const auto target = kRoot + std::string("/dev/shm");
    make_directories(target, 0755);
    mount_memory(target, "mode=1777,size=" + std::to_string(sandbox_.shared_memory));
  }

  static void make_device_links() {
    const auto dev = kRoot + std::string("/dev/");
    for (const auto& [name, target] : {std::pair("fd", "/proc/self/fd"), std::pair("stdin", "/proc/self/fd/0"),
                                       std::pair("stdout", "/proc/self/fd/1"), std::pair("stderr", "/proc/self/fd/2")})
      if (::symlink(target, (dev + name).c_str()) < 0) throw_errno("link", dev + name);
  }

  static void make_processes() {
    const auto target = kRoot + std::string("/proc");
    make_directories(target, 0755);
    if (::mount("proc", target.c_str(), "proc", MS_NODEV | MS_NOSUID | MS_NOEXEC, nullptr) < 0)
      throw_errno("mount", "/proc");
  }

  // By components: a parent's mount is made before those in it, whatever stands beside it ("/a-b", "/a/b").
  struct ByPath {
    bool operator()(const std::string& left, const std::string& right) const {
      return std::filesystem::path(left) < std::filesystem::path(right);
    }
  };

  const Sandbox& sandbox_;
  std::vector<std::string> hidden_;
  std::map<std::string, std::string> links_;
  std::map<std::string, Mount, ByPath> mounts_;
};

// The child's end is this process' own.
[[noreturn]] void end_as(pid_t child) {
  sigset_t all;
  sigfillset(&all);
  ::sigprocmask(SIG_SETMASK, &all, nullptr);  // a stop is for the child to take
  ::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
  ::syscall(SYS_close_range, 0U, ~0U, 0U);    // it alone tells how far it has come
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) continue;
  if (!WIFSIGNALED(status)) ::_exit(WEXITSTATUS(status));
  const int signal = WTERMSIG(status);
  ::signal(signal, SIG_DFL);
  sigset_t one;
  sigemptyset(&one);
  sigaddset(&one, signal);
  ::kill(::getpid(), signal);
  ::sigprocmask(SIG_UNBLOCK, &one, nullptr);
  ::_exit(128 + signal);
}

// For where the build's control group does not limit them: of this user alone, and all that he runs counts.
void limit_processes() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NPROC, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max = std::min(limit.rlim_max, kMostProcesses);
  ::setrlimit(RLIMIT_NPROC, &limit);
}

// No program that this one starts has any capability, whoever it runs as.
void bound_capabilities() {
  for (int capability = 0; ::prctl(PR_CAPBSET_READ, capability, 0, 0, 0) >= 0; ++capability)
    ::prctl(PR_CAPBSET_DROP, capability, 0, 0, 0);
}

void give_up_capabilities() {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  std::array<__user_cap_data_struct, 2> none{};
  if (::syscall(SYS_capset, &header, none.data()) < 0) throw_errno("give up", "capabilities");
}

// Whether anything was there to be killed. The child is not one of the user's, as far as its own signal goes.
bool kill_some(uid_t user) {
  const pid_t pid = ::fork();
  if (pid < 0) throw_errno("start", "a process that kills a build's");
  if (pid == 0) {
    const bool killed = ::syscall(SYS_setresuid, user, user, user) == 0 && ::kill(-1, SIGKILL) == 0;
    ::_exit(killed ? 1 : 0);
  }
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) continue;
  return WIFEXITED(status) && WEXITSTATUS(status) == 1;
}

// By its status, since /proc gives what cannot be dumped to root.
bool is_alive_as(const std::string& process, uid_t user) {
  try {
    const auto status = read_file_if_exists(process + "/status").value_or("");
    return status.find("\nUid:\t" + std::to_string(user) + "\t") != std::string::npos &&
           status.find("\nState:\tZ") == std::string::npos;
  } catch (const Error&) {  // it has just ended
    return false;
  }
}

// Zombies can be killed for as long as their parents leave them.
bool any_alive(uid_t user) {
  std::error_code failure;
  for (const auto& entry : std::filesystem::directory_iterator("/proc", failure)) {
    const auto name = entry.path().filename().string();
    const bool process = name.find_first_not_of("0123456789") == std::string::npos;
    if (process && is_alive_as(entry.path().string(), user)) return true;
  }
  return false;
}

}  // namespace

void enter_sandbox(const Sandbox& sandbox, const std::optional<Identity>& identity) {
  enter_private_mounts();
  if (::unshare(CLONE_NEWPID | CLONE_NEWIPC) < 0) throw_errno("make", "a namespace of processes");
  const pid_t child = ::fork();
  if (child < 0) throw_errno("start", "the first process of a namespace");
  if (child > 0) end_as(child);
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  Root root(sandbox, identity);
  root.build();
  Root::enter();
  bound_capabilities();
  const bool becomes_another = identity && ::geteuid() == 0 && identity->uid != 0;
  if (becomes_another) limit_processes();
  if (!becomes_another && ::geteuid() == 0) give_up_capabilities();
}

std::string why_no_sandbox(const std::optional<Identity>& identity, const std::string& place) {
  auto word = make_pipe();
  const pid_t pid = ::fork();
  if (pid < 0) return "no process can be started";
  if (pid == 0) {
    std::string reason;
    try {
      Sandbox sandbox;
      sandbox.writable = {place};
      enter_sandbox(sandbox, identity);
      if (identity && ::geteuid() == 0 && !become(*identity)) throw_errno("become", "the user of a build");
    } catch (const Error& error) {
      reason = error.message();
    } catch (...) {
      reason = "it failed";
    }
    [[maybe_unused]] const auto written = ::write(word.write.get(), reason.data(), reason.size());
    ::_exit(reason.empty() ? 0 : 1);
  }
  word.write.reset();
  std::string reason;
  std::array<char, 512> buffer;
  for (std::size_t length = 0; (length = read_some(word.read, buffer)) > 0;) reason.append(buffer.data(), length);
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) continue;
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return {};
  return reason.empty() ? "it ended without a word" : reason;
}

void kill_processes_of(uid_t user) {
  if (::geteuid() != 0 || user == 0) return;
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (kill_some(user) && any_alive(user)) {
    if (std::chrono::steady_clock::now() > deadline)
      throw Error(Code::timeout,
                  "processes of the build user " + std::to_string(user) + " do not die though they were killed",
                  "they hang in the kernel, often on a lost network file system or a GPU");
    ::poll(nullptr, 0, 5);
  }
}

}  // namespace berth::os
