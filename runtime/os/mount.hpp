#pragma once

// Overlay file systems in a mount namespace of their own.

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

namespace berth::os {

struct Overlay {
  std::vector<std::string> lower;  // topmost first; only read
  std::string upper;               // gets everything that is written
  std::string work;                // empty, on the same file system as `upper`
  std::string target;              // where the merged tree appears
};

// Gives the calling process (single-threaded) a mount namespace whose changes nobody else sees, while mounts
// that the machine makes later still appear in it; with Network::none also a network namespace whose only
// device is a loopback of its own. Without CAP_SYS_ADMIN it takes a user namespace too, where the kernel
// allows one: the process stays who it is, and supplementary groups can no longer be changed.
enum class Network { shared, none };
void enter_private_mounts(Network network = Network::shared);
void mount_overlay(const Overlay& overlay);
// A file system in memory, of at most `size` bytes, whose root belongs to the user and the group given.
void mount_tmpfs(const std::string& target, std::uint64_t size, uid_t uid, gid_t gid);

// What is mounted there, for who uses it from now on.
void make_read_only(const std::string& target);

// The directory mounted upon itself for as long as this lives, so that whoever binds it meanwhile has it without
// set-uid programs and devices; nothing where this process may not mount (EPERM), else an Error. One that a killed
// process left is taken over.
class Defused {
 public:
  explicit Defused(std::string directory);
  Defused(const Defused&) = delete;
  Defused& operator=(const Defused&) = delete;
  ~Defused();
  // Leaves it as it is, for unmount_defused().
  void keep() { directory_.clear(); }

 private:
  std::string directory_;
};
// Takes away what a killed process left of it.
void unmount_defused(const std::string& directory) noexcept;

// Whether overlays can be mounted with their upper layer in `directory`: tried in a child process.
bool overlay_works(const std::string& directory);

}  // namespace berth::os
