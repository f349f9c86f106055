#include "runtime/shim/apart.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>

#include "runtime/base/error.hpp"
#include "runtime/os/beneath.hpp"
#include "runtime/os/file.hpp"
#include "runtime/shim/contract.hpp"

namespace berth::shim {
namespace {

using Capabilities = std::array<__user_cap_data_struct, 2>;

bool get(Capabilities& capabilities) {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  return ::syscall(SYS_capget, &header, capabilities.data()) == 0;
}

bool set(const Capabilities& capabilities) {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  return ::syscall(SYS_capset, &header, capabilities.data()) == 0;
}

}  // namespace

void set_apart(const std::string& directory) {
  if (::geteuid() != 0) return;
  const auto root = os::open_directory(directory);
  for (const auto* name : {kLaunchFile, kLogFile})
    if (::fchownat(root.get(), name, os::kNobodysOwn, static_cast<gid_t>(-1), AT_SYMLINK_NOFOLLOW) < 0 &&
        errno != ENOENT)
      throw_errno("set apart", os::join(directory, name));
  if (::fchown(root.get(), os::kNobodysOwn, static_cast<gid_t>(-1)) < 0) throw_errno("set apart", directory);
}

void act_apart(const std::string& directory) {
  struct stat info {};
  if (::geteuid() != 0 || ::stat(directory.c_str(), &info) < 0 || info.st_uid != os::kNobodysOwn) return;
  ::setfsuid(os::kNobodysOwn);
  // The kernel takes those away that are about files: they are needed for the job's own directories.
  Capabilities capabilities{};
  bool kept = get(capabilities);
  for (auto& word : capabilities) word.effective = word.permitted;
  kept = kept && set(capabilities);
  if (!kept) throw_errno("keep", "the supervisor's capabilities");
}

bool acts_apart() { return static_cast<uid_t>(::setfsuid(static_cast<uid_t>(-1))) == os::kNobodysOwn; }

bool drop_capabilities() {
  ::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
  return set(Capabilities{});
}

}  // namespace berth::shim
