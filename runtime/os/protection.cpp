#include "runtime/os/protection.hpp"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>

#include "runtime/base/error.hpp"
#include "runtime/base/text.hpp"
#include "runtime/os/file.hpp"
#include "runtime/os/mount.hpp"

namespace berth::os {
namespace {

// Not every C library that Berth is built with has these calls, and those that do have them under names that collide
// with the kernel's.
struct MountAttributes {
  std::uint64_t set = 0;
  std::uint64_t clear = 0;
  std::uint64_t propagation = 0;
  std::uint64_t user_namespace = 0;
};
constexpr std::uint64_t kReadOnly = 0x1;
constexpr std::uint64_t kNoSetUserId = 0x2;
constexpr std::uint64_t kNoDevices = 0x4;
constexpr std::uint64_t kMappedIds = 0x100000;
constexpr unsigned kClone = 1;           // OPEN_TREE_CLONE
constexpr unsigned kRecursive = 0x8000;  // AT_RECURSIVE
constexpr unsigned kFromHandle = 0x4;    // MOVE_MOUNT_F_EMPTY_PATH
constexpr std::uint64_t kLastId = 4'294'967'294;

// A copy of the mount at `path`, or of all mounts at and below it, that is nowhere yet.
Fd copy_of_mounts(const std::string& path, unsigned recursive) {
  return Fd(static_cast<int>(::syscall(SYS_open_tree, AT_FDCWD, path.c_str(), kClone | O_CLOEXEC | recursive)));
}

void change(int mount, const char* path, unsigned flags, const MountAttributes& attributes, const std::string& name) {
  if (::syscall(SYS_mount_setattr, mount, path, flags, &attributes, sizeof attributes) < 0)
    throw_errno("change the mount of", printable(name));
}

void attach(const Fd& mount, const std::string& path) {
  if (::syscall(SYS_move_mount, mount.get(), "", AT_FDCWD, path.c_str(), kFromHandle) < 0)
    throw_errno("mount", printable(path));
}

bool is_mount(const std::string& path) {
  struct statx info {};
  return ::statx(AT_FDCWD, path.c_str(), AT_SYMLINK_NOFOLLOW, STATX_INO, &info) == 0 &&
         (info.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0;
}

// "inside outside count" each: root and the id change places.
std::string swap_with_root(std::uint64_t id) {
  const auto line = [](std::uint64_t from, std::uint64_t to, std::uint64_t count) {
    return count == 0 ? "" : std::to_string(from) + " " + std::to_string(to) + " " + std::to_string(count) + "\n";
  };
  if (id == 0) return line(0, 0, kLastId + 1);
  return line(0, id, 1) + line(1, 1, id - 1) + line(id, 0, 1) + line(id + 1, id + 1, kLastId - id);
}

// A child that has a user namespace of its own and waits to be killed.
class Holder {
 public:
  Holder() {
    auto made = make_pipe();
    const pid_t parent = ::getpid();
    pid_ = ::fork();
    if (pid_ < 0) throw_errno("make a process for", "a user namespace");
    if (pid_ == 0) hold(made.write, parent);
    made.write.reset();
    char word = 0;
    if (read_some(made.read, {&word, 1}) != 1) throw Error(Code::unsupported, "no user namespace can be made here");
  }
  Holder(const Holder&) = delete;
  Holder& operator=(const Holder&) = delete;
  ~Holder() {
    ::kill(pid_, SIGKILL);
    while (::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) continue;
  }
  std::string file(const char* name) const { return "/proc/" + std::to_string(pid_) + "/" + name; }

 private:
  [[noreturn]] static void hold(const Fd& made, pid_t parent) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != parent) ::_exit(1);
    if (::unshare(CLONE_NEWUSER) < 0 || ::write(made.get(), "", 1) != 1) ::_exit(1);
    for (;;) ::pause();
  }

  pid_t pid_ = -1;
};

bool can_write(const std::string& path) {
  return Fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600)).get() >= 0;
}

bool succeeds(const auto& attempt) {
  try {
    attempt();
    return true;
  } catch (const std::exception&) {
    return false;
  }
}

// The places of one try, as a job has them.
struct Trial {
  std::string shared;
  std::string layer;
  Overlay overlay{{shared}, join(layer, "upper"), join(layer, "work"), shared};

  void make() const {
    remove();
    for (const auto& path : {shared, overlay.upper, overlay.work}) make_directories(path, 0755);
    for (const auto* name : {"ours", "theirs"}) write_file(join(shared, name), "x", 0644, Durable::no);
  }
  // Of one that was killed meanwhile, too.
  void remove() const {
    for (const auto& path : {shared, layer}) remove_tree(path);
  }
  void mount_layer(bool owned) const {
    const auto file = join(shared, owned ? "theirs" : "ours");
    if (owned) {
      if (::geteuid() != 0) throw Error(Code::unsupported, "only root can do that");
      mount_owned(shared, swapped_ids(1, 1));
    }
    mount_overlay(overlay);
    struct stat info {};
    if (::stat(file.c_str(), &info) < 0 || (owned && info.st_uid != 1))
      throw Error(Code::unsupported, "ids are not mapped");
    if (!can_write(file)) throw_errno("write through", shared);
    ::umount2(shared.c_str(), MNT_DETACH);
    if (owned) ::umount2(shared.c_str(), MNT_DETACH);
  }
  void protect_all() const {
    protect({shared, layer}, {overlay.upper});
    if (can_write(join(shared, "ours")) || !can_write(join(overlay.upper, "file")))
      throw Error(Code::unsupported, "read-only mounts do not hold");
  }
};

constexpr int kCanProtect = 1;
constexpr int kCanLayer = 2;
constexpr int kCanOwn = 4;

int try_all(const Trial& trial) {
  if (!succeeds([] { enter_private_mounts(); })) return 0;
  int can = 0;
  if (succeeds([&] { trial.mount_layer(false); })) can |= kCanLayer;
  if (succeeds([&] { trial.mount_layer(true); })) can |= kCanOwn;
  if (succeeds([&] { trial.protect_all(); })) can |= kCanProtect;
  return can;
}

}  // namespace

Fd swapped_ids(uid_t uid, gid_t gid) {
  const Holder holder;
  write_all(open(holder.file("uid_map"), O_WRONLY), swap_with_root(uid));
  write_all(open(holder.file("gid_map"), O_WRONLY), swap_with_root(gid));
  return open(holder.file("ns/user"), O_RDONLY);
}

void mount_owned(const std::string& directory, const Fd& swapped) {
  const auto copy = copy_of_mounts(directory, 0);
  if (!copy) throw_errno("copy the mount of", printable(directory));
  MountAttributes attributes;
  attributes.set = kMappedIds | kNoSetUserId | kNoDevices;
  attributes.user_namespace = static_cast<std::uint64_t>(swapped.get());
  change(copy.get(), "", AT_EMPTY_PATH, attributes, directory);
  attach(copy, directory);
}

void protect(const std::vector<std::string>& directories, const std::vector<std::string>& writable) {
  for (const auto& path : writable)
    if (!is_mount(path) && ::mount(path.c_str(), path.c_str(), nullptr, MS_BIND, nullptr) < 0)
      throw_errno("mount on itself", printable(path));
  MountAttributes closed;
  closed.set = kReadOnly | kNoSetUserId | kNoDevices;
  closed.propagation = MS_PRIVATE;
  for (const auto& directory : directories) {
    const auto copy = copy_of_mounts(directory, kRecursive);
    if (!copy && errno == ENOENT) continue;
    if (!copy) throw_errno("copy the mounts of", printable(directory));
    change(copy.get(), "", AT_EMPTY_PATH | kRecursive, closed, directory);
    attach(copy, directory);
  }
  MountAttributes open;
  open.clear = kReadOnly;
  for (const auto& path : writable) change(AT_FDCWD, path.c_str(), 0, open, path);
}

Protections possible_protections(const std::string& shared, const std::string& own) {
  const Trial trial{join(shared, "protection-check"), join(own, "protection-check-layer")};
  trial.make();
  const pid_t pid = ::fork();
  if (pid == 0) ::_exit(try_all(trial));
  int status = 0;
  if (pid > 0) ::waitpid(pid, &status, 0);
  trial.remove();
  const int can = pid > 0 && WIFEXITED(status) ? WEXITSTATUS(status) : 0;
  return {(can & kCanProtect) != 0, (can & kCanLayer) != 0, (can & kCanOwn) != 0};
}

}  // namespace berth::os
