#include "runtime/environment/seal.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <memory>
#include <set>
#include <string_view>

#include "runtime/base/error.hpp"
#include "runtime/base/text.hpp"
#include "runtime/os/fd.hpp"

namespace berth::environment {
namespace {

constexpr std::uint64_t kBlock = 512;  // stat(2)'s unit, whatever the file system's is

class Sealing {
 public:
  Sealing(std::string tree, std::optional<uid_t> builder) : tree_(std::move(tree)), builder_(builder) {}

  std::uint64_t run() {
    const auto parent = os::open(tree_.substr(0, tree_.rfind('/')), O_RDONLY | O_DIRECTORY);
    visit(parent.get(), tree_.substr(tree_.rfind('/') + 1).c_str());
    return bytes_;
  }

 private:
  // By an open description, so that what is looked at is what is changed. A directory goes first: afterwards
  // nobody can put something else in it.
  void visit(int directory, const char* name) {
    const os::Fd entry(::openat(directory, name, O_PATH | O_NOFOLLOW | O_CLOEXEC));
    if (!entry) {
      if (errno == ENOENT) return;
      fail("open");
    }
    struct stat info {};
    if (::fstat(entry.get(), &info) != 0) fail("look at");
    count(info);
    const bool shared = info.st_nlink > 1 && !S_ISDIR(info.st_mode);
    // The kernel takes the set-user-id bit from a file that changes hands.
    if (builder_ && info.st_uid == *builder_ && *builder_ != ::geteuid() && !shared &&
        ::fchownat(entry.get(), "", ::geteuid(), ::getegid(), AT_EMPTY_PATH) != 0)
      fail("take over");
    if (S_ISDIR(info.st_mode)) descend(entry);
  }

  void descend(const os::Fd& entry) {
    const int fd = ::openat(entry.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) fail("read");
    const std::unique_ptr<DIR, int (*)(DIR*)> listing(::fdopendir(fd), ::closedir);
    if (!listing) fail("read");
    while (const auto* found = ::readdir(listing.get())) {
      const std::string_view name(found->d_name);
      if (name != "." && name != "..") visit(fd, found->d_name);
    }
  }

  void count(const struct stat& info) {
    if (info.st_nlink > 1 && !S_ISDIR(info.st_mode) && !linked_.insert(info.st_ino).second) return;
    bytes_ += static_cast<std::uint64_t>(info.st_blocks) * kBlock;
  }

  [[noreturn]] void fail(std::string_view action) const {
    throw_errno(action, "something in " + printable(tree_));
  }

  std::string tree_;
  std::optional<uid_t> builder_;
  std::set<ino_t> linked_;  // counted already
  std::uint64_t bytes_ = 0;
};

}  // namespace

std::uint64_t seal(const std::string& tree, std::optional<uid_t> builder) {
  return Sealing(tree, builder).run();
}

}  // namespace berth::environment
