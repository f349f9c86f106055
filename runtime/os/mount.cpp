#include "runtime/os/mount.hpp"

#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "runtime/base/error.hpp"
#include "runtime/os/file.hpp"

namespace berth::os {
namespace {

// In overlay's options ',' ends an option and ':' a lower layer; a backslash takes their meaning away.
std::string escaped(const std::string& path) {
  std::string out;
  for (const char c : path) {
    if (c == ',' || c == ':' || c == '\\') out += '\\';
    out += c;
  }
  return out;
}

// A process without privileges gets the right to mount from a user namespace in which it stays who it is.
void enter_user_namespace(int others) {
  const auto user = std::to_string(::geteuid());
  const auto group = std::to_string(::getegid());
  if (::unshare(CLONE_NEWUSER | others) < 0) throw_errno("make", "a user namespace");
  ::prctl(PR_SET_DUMPABLE, 1);  // else these files are root's; what this process becomes sets it anew
  write_all(open("/proc/self/setgroups", O_WRONLY), "deny");
  write_all(open("/proc/self/uid_map", O_WRONLY), user + " " + user + " 1");
  write_all(open("/proc/self/gid_map", O_WRONLY), group + " " + group + " 1");
}

void bring_up_loopback() {
  const Fd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ifreq request{};
  std::strncpy(request.ifr_name, "lo", IFNAMSIZ - 1);
  request.ifr_flags = IFF_UP | IFF_RUNNING;
  if (!socket || ::ioctl(socket.get(), SIOCSIFFLAGS, &request) < 0) throw_errno("bring up", "the loopback device");
}

bool in_user_namespace() {
  const auto map = read_file("/proc/self/uid_map");
  return map.find("4294967295") == std::string::npos;
}

}  // namespace

void enter_private_mounts(Network network) {
  const int namespaces = CLONE_NEWNS | (network == Network::none ? CLONE_NEWNET : 0);
  if (::unshare(namespaces) < 0) {
    if (errno != EPERM) throw_errno("make", "a mount namespace");
    enter_user_namespace(namespaces);
  }
  if (network == Network::none) bring_up_loopback();
  if (::mount(nullptr, "/", nullptr, MS_REC | MS_SLAVE, nullptr) < 0) throw_errno("detach", "mount propagation");
}

void mount_tmpfs(const std::string& target, std::uint64_t size, uid_t uid, gid_t gid) {
  const auto options =
      "mode=0700,size=" + std::to_string(size) + ",uid=" + std::to_string(uid) + ",gid=" + std::to_string(gid);
  if (::mount("tmpfs", target.c_str(), "tmpfs", MS_NODEV | MS_NOSUID, options.c_str()) < 0)
    throw_errno("mount a file system in memory on", target);
}

void make_read_only(const std::string& target) {
  if (::mount(nullptr, target.c_str(), nullptr, MS_REMOUNT | MS_RDONLY | MS_NODEV | MS_NOSUID, nullptr) < 0)
    throw_errno("make read-only", target);
}

void mount_overlay(const Overlay& overlay) {
  std::string options = "lowerdir=";
  for (std::size_t i = 0; i < overlay.lower.size(); ++i) {
    if (i > 0) options += ':';
    options += escaped(overlay.lower[i]);
  }
  options += ",upperdir=" + escaped(overlay.upper) + ",workdir=" + escaped(overlay.work);
  if (in_user_namespace()) options += ",userxattr";  // where trusted.* attributes are out of reach
  if (::mount("overlay", overlay.target.c_str(), "overlay", MS_NODEV, options.c_str()) < 0)
    throw_errno("mount an overlay on", overlay.target);
}

// Its mounts are no longer seen, though what was bound from it lives on.
void unmount_defused(const std::string& directory) noexcept {
  while (::umount2(directory.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW) == 0) continue;
}

Defused::Defused(std::string directory) {
  unmount_defused(directory);
  if (::mount(directory.c_str(), directory.c_str(), nullptr, MS_BIND, nullptr) < 0) {
    if (errno == EPERM) return;
    throw_errno("mount upon itself", directory);
  }
  directory_ = std::move(directory);
  if (::mount(nullptr, directory_.c_str(), nullptr, MS_REMOUNT | MS_BIND | MS_NOSUID | MS_NODEV, nullptr) == 0) return;
  const auto failed = errno_error(errno, "keep set-uid programs and devices out of", directory_);
  unmount_defused(directory_);
  throw failed;
}

Defused::~Defused() {
  if (!directory_.empty()) unmount_defused(directory_);
}

bool overlay_works(const std::string& directory) {
  const auto scratch = join(directory, "overlay-check");
  remove_tree(scratch);  // of one that was killed meanwhile
  const Overlay overlay{
      {join(scratch, "lower")}, join(scratch, "upper"), join(scratch, "work"), join(scratch, "target")};
  for (const auto* name : {"lower", "upper", "work", "target"}) make_directories(join(scratch, name));
  const pid_t pid = ::fork();
  if (pid < 0) return false;
  if (pid == 0) {
    int result = 1;
    try {
      enter_private_mounts();
      mount_overlay(overlay);
      write_file(overlay.target + "/file", "x", 0644, Durable::no);
      result = 0;
    } catch (...) {
    }
    ::_exit(result);
  }
  int status = 0;
  ::waitpid(pid, &status, 0);
  remove_tree(scratch);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

}  // namespace berth::os
