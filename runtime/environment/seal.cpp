#include "runtime/environment/seal.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <map>
#include <memory>
#include <string_view>
#include <vector>

#include "runtime/base/error.hpp"
#include "runtime/base/text.hpp"
#include "runtime/os/beneath.hpp"
#include "runtime/os/fd.hpp"

namespace berth::environment {
namespace {

constexpr std::uint64_t kBlock = 512;  // stat(2)'s unit, whatever the file system's is
constexpr std::size_t kDeepest = 128;  // each takes a descriptor; real environments have some 30
constexpr std::size_t kMostOfLinks = 16U << 20;  // of memory; what real ones have is linked from a cache, which is gone
constexpr mode_t kNotKept = S_ISUID | S_ISGID | S_ISVTX | S_IWGRP | S_IWOTH;
constexpr const char* kCopy = ".berth-copy";

class Sealing {
 public:
  Sealing(std::string tree, std::optional<uid_t> builder) : tree_(std::move(tree)), builder_(builder) {}

  std::uint64_t run() {
    const auto parent = os::open(tree_.substr(0, tree_.rfind('/')), O_RDONLY | O_DIRECTORY);
    visit(parent.get(), tree_.substr(tree_.rfind('/') + 1).c_str(), 0);
    for (const auto& [file, link] : links_) settle(link);
    return bytes_;
  }

 private:
  // A file with several names, and those that are in the tree.
  struct Link {
    struct stat info {};
    std::vector<std::string> names;  // relative to the tree
  };

  // By an open description, so that what is looked at is what is changed.
  void visit(int directory, const char* name, std::size_t depth) {
    os::Fd entry(::openat(directory, name, O_PATH | O_NOFOLLOW | O_CLOEXEC));
    if (!entry) {
      if (errno == ENOENT) return;
      fail("open");
    }
    struct stat info {};
    if (::fstat(entry.get(), &info) != 0) fail("look at");
    const bool kept = S_ISREG(info.st_mode) || S_ISDIR(info.st_mode) || S_ISLNK(info.st_mode);
    if (!kept) {
      if (::unlinkat(directory, name, 0) != 0) fail("remove");
      return;
    }
    if (S_ISREG(info.st_mode) && info.st_nlink > 1) return note_link(info, name);
    bytes_ += static_cast<std::uint64_t>(info.st_blocks) * kBlock;
    take(entry, info);
    if (S_ISDIR(info.st_mode)) descend(std::move(entry), depth);
  }

  void descend(os::Fd entry, std::size_t depth) {
    if (depth >= kDeepest)
      throw Error(Code::invalid,
                  "the build made directories that are nested more than " + std::to_string(kDeepest) + " deep",
                  "look at what the packages install");
    const int fd = ::openat(entry.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) fail("read");
    entry.reset();
    const std::unique_ptr<DIR, int (*)(DIR*)> listing(::fdopendir(fd), ::closedir);
    if (!listing) fail("read");
    const auto length = path_.size();
    while (const auto* found = ::readdir(listing.get())) {
      const std::string_view name(found->d_name);
      if (name == "." || name == "..") continue;
      (path_ += path_.empty() ? "" : "/") += name;
      visit(fd, found->d_name, depth + 1);
      path_.resize(length);
    }
  }

  void take(const os::Fd& entry, const struct stat& info) {
    const bool is_builders = check_owner(info);
    if (is_builders && ::fchownat(entry.get(), "", ::geteuid(), ::getegid(), AT_EMPTY_PATH) != 0) fail("take over");
    // What an open path alone cannot do. With an access list the group's bits are the mask of all that is in it.
    const auto mode = info.st_mode & 07777;
    const auto path = "/proc/self/fd/" + std::to_string(entry.get());
    if (!S_ISLNK(info.st_mode) && (mode & kNotKept) != 0 && ::chmod(path.c_str(), mode & ~kNotKept) != 0)
      fail("protect");
  }

  bool check_owner(const struct stat& info) const {
    const bool is_builders = builder_ && info.st_uid == *builder_ && *builder_ != ::geteuid();
    if (!is_builders && info.st_uid != ::geteuid())
      throw Error(Code::invalid, "the build has put something of the user " + std::to_string(info.st_uid) + " into " +
                                     printable(tree_));
    return is_builders;
  }

  void note_link(const struct stat& info, const char* name) {
    auto& link = links_[{info.st_dev, info.st_ino}];
    link.info = info;
    link.names.push_back(path_.empty() ? name : path_);
    link_bytes_ += sizeof(Link) + link.names.back().size();
    if (link_bytes_ > kMostOfLinks)
      throw Error(Code::invalid, "the build made too many files that have several names", "look at what the packages install");
  }

  void settle(const Link& link) {
    const bool all_here = link.names.size() == link.info.st_nlink;
    const auto size = static_cast<std::uint64_t>(link.info.st_blocks) * kBlock;
    bytes_ += all_here ? size : size * link.names.size();
    if (all_here) {
      const auto [folder, name] = open_folder(link.names.front());
      const os::Fd entry(::openat(folder.get(), name.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
      if (!entry) fail("open");
      return take(entry, link.info);
    }
    check_owner(link.info);
    for (const auto& name : link.names) copy(name);
  }

  struct Folder {
    os::Fd fd;
    std::string name;
  };
  // Step by step: nothing of the path may be a link.
  Folder open_folder(const std::string& path) const {
    auto folder = os::open_directory(tree_);
    std::size_t at = 0;
    for (auto end = path.find('/'); end != std::string::npos; at = end + 1, end = path.find('/', at)) {
      folder = os::Fd(::openat(folder.get(), path.substr(at, end - at).c_str(),
                               O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
      if (!folder) fail("open");
    }
    return {std::move(folder), path.substr(at)};
  }

  void copy(const std::string& path) const {
    const auto [folder, name] = open_folder(path);
    const os::Fd from(::openat(folder.get(), name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
    const os::Fd to(::openat(folder.get(), kCopy, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
    struct stat info {};
    if (!from || !to || ::fstat(from.get(), &info) != 0) fail("copy");
    copy_bytes(from, to);
    const std::array<timespec, 2> times{info.st_atim, info.st_mtim};
    const bool done = ::fchmod(to.get(), info.st_mode & 07777 & ~kNotKept) == 0 &&
                      ::futimens(to.get(), times.data()) == 0 &&
                      ::renameat(folder.get(), kCopy, folder.get(), name.c_str()) == 0;
    if (!done) fail("copy");
  }

  void copy_bytes(const os::Fd& from, const os::Fd& to) const {
    constexpr std::size_t kPiece = 1U << 20;
    ssize_t length = 0;
    while ((length = ::copy_file_range(from.get(), nullptr, to.get(), nullptr, kPiece, 0)) > 0) continue;
    if (length == 0) return;
    std::array<char, 65536> buffer;  // file systems that cannot; what was copied is not copied again
    while ((length = ::read(from.get(), buffer.data(), buffer.size())) > 0)
      os::write_all(to, std::string_view(buffer.data(), static_cast<std::size_t>(length)));
    if (length < 0) fail("copy");
  }

  [[noreturn]] void fail(std::string_view action) const {
    throw_errno(action, "something in " + printable(tree_));
  }

  std::string tree_;
  std::optional<uid_t> builder_;
  std::string path_;  // of what is being visited, relative to the tree
  std::map<std::pair<dev_t, ino_t>, Link> links_;
  std::size_t link_bytes_ = 0;
  std::uint64_t bytes_ = 0;
};

}  // namespace

std::uint64_t seal(const std::string& tree, std::optional<uid_t> builder) {
  return Sealing(tree, builder).run();
}

}  // namespace berth::environment
