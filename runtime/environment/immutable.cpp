#include "runtime/environment/immutable.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <exception>
#include <map>
#include <memory>
#include <string_view>
#include <system_error>
#include <thread>
#include <vector>

#include "runtime/base/error.hpp"
#include "runtime/base/text.hpp"
#include "runtime/os/beneath.hpp"
#include "runtime/os/fd.hpp"

namespace berth::environment {
namespace {

constexpr std::uint64_t kBlock = 512;  // stat(2)'s unit, whatever the file system's is
constexpr std::size_t kDeepest = 128;  // each takes a descriptor; real environments have some 30
constexpr std::size_t kMostOfLinks =
    16U << 20;  // of memory; real ones need some 100 bytes for each file that has several names
constexpr std::size_t kWorthAThread = 200;  // links: some milliseconds
constexpr unsigned kMostThreads = 4;
constexpr mode_t kNotKept = S_ISUID | S_ISGID | S_ISVTX | S_IWGRP | S_IWOTH;
constexpr int kDirectory = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;

// An environment has tens of thousands of files, and each call of the kernel for each of them counts. So what is in an
// open directory is worked on by its name: nobody is left who could exchange it meanwhile.
class Tree {
 public:
  Tree(std::string tree, std::optional<uid_t> builder) : tree_(std::move(tree)), builder_(builder) {}

  std::uint64_t run() {
    const auto parent = os::open(tree_.substr(0, tree_.rfind('/')), O_RDONLY | O_DIRECTORY);
    visit(parent.get(), tree_.substr(tree_.rfind('/') + 1).c_str(), 0);
    if (!links_.empty()) settle_links();
    return bytes_;
  }

 private:
  friend class Links;

  // A file with several names, and those that are in the tree.
  struct Link {
    struct stat info {};
    std::vector<std::string> names;  // relative to the tree
  };

  void settle_links();
  void visit(int directory, const char* name, std::size_t depth) {
    struct stat info {};
    if (::fstatat(directory, name, &info, AT_SYMLINK_NOFOLLOW) != 0) {
      if (errno == ENOENT) return;
      fail("look at");
    }
    const bool kept = S_ISREG(info.st_mode) || S_ISDIR(info.st_mode) || S_ISLNK(info.st_mode);
    if (!kept) {
      if (::unlinkat(directory, name, 0) != 0) fail("remove");
      return;
    }
    if (S_ISREG(info.st_mode) && info.st_nlink > 1) return note_link(info, name);
    bytes_ += bytes_of(info);
    take(directory, name, info);
    if (S_ISDIR(info.st_mode)) descend(directory, name, depth);
  }

  void descend(int directory, const char* its_name, std::size_t depth) {
    if (depth >= kDeepest)
      throw Error(Code::invalid,
                  "the build made directories that are nested more than " + std::to_string(kDeepest) + " deep",
                  "look at what the packages install");
    const int fd = ::openat(directory, its_name, kDirectory);
    if (fd < 0) fail("read");
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

  void take(int directory, const char* name, const struct stat& info) const {
    const bool is_builders = check_owner(info);
    if (is_builders && ::fchownat(directory, name, self_, group_, AT_SYMLINK_NOFOLLOW) != 0) fail("take over");
    if (!S_ISLNK(info.st_mode) && (info.st_mode & kNotKept) != 0) protect(directory, name, info.st_mode);
  }

  // With an access list the group's bits are the mask of all that is in it.
  void protect(int directory, const char* name, mode_t mode) const {
    const os::Fd entry(::openat(directory, name, O_PATH | O_NOFOLLOW | O_CLOEXEC));
    if (!entry) fail("open");
    const auto path = "/proc/self/fd/" + std::to_string(entry.get());
    if (::chmod(path.c_str(), mode & 07777 & ~kNotKept) != 0) fail("protect");
  }

  bool check_owner(const struct stat& info) const {
    const bool is_builders = builder_ && info.st_uid == *builder_ && *builder_ != self_;
    if (!is_builders && info.st_uid != self_)
      throw Error(Code::invalid, "the build has put something of the user " + std::to_string(info.st_uid) + " into " +
                                     printable(tree_));
    return is_builders;
  }

  void note_link(const struct stat& info, const char* name) {
    const auto [known, added] = link_of_.try_emplace({info.st_dev, info.st_ino}, links_.size());
    if (added) links_.push_back({info, {}});
    auto& link = links_[known->second];
    link.names.push_back(path_.empty() ? name : path_);
    link_bytes_ += (added ? sizeof(Link) : 0) + link.names.back().size();
    if (link_bytes_ > kMostOfLinks)
      throw Error(Code::invalid, "the build made too many files that have several names",
                  "look at what the packages install");
  }

  static std::uint64_t bytes_of(const struct stat& info) { return static_cast<std::uint64_t>(info.st_blocks) * kBlock; }

  [[noreturn]] void fail(std::string_view action) const { throw_errno(action, "something in " + printable(tree_)); }

  std::string tree_;
  std::optional<uid_t> builder_;
  std::string path_;  // of what is being visited, relative to the tree
  std::vector<Link> links_;  // in the order of the directories
  std::map<std::pair<dev_t, ino_t>, std::size_t> link_of_;
  std::size_t link_bytes_ = 0;
  std::uint64_t bytes_ = 0;
  os::Fd root_;
  const uid_t self_ = ::geteuid();
  const gid_t group_ = ::getegid();
};

// Some of a tree's links, on a thread.
class Links {
 public:
  explicit Links(const Tree& tree) : tree_(tree) {}

  // In the tree they stay one file, as few bytes as before.
  void settle(const Tree::Link& link) {
    const auto [folder, name] = find(link.names.front());
    if (link.names.size() == link.info.st_nlink) return tree_.take(folder, name.c_str(), link.info);
    tree_.check_owner(link.info);
    copy(folder, name.c_str(), link.info);
    if (link.names.size() == 1) return;
    const os::Fd first(::fcntl(folder, F_DUPFD_CLOEXEC, 0));
    if (!first) tree_.fail("link");
    for (auto other = link.names.begin() + 1; other != link.names.end(); ++other) {
      const auto at = find(*other);
      const bool done = ::unlinkat(at.folder, at.name.c_str(), 0) == 0 &&
                        ::linkat(first.get(), name.c_str(), at.folder, at.name.c_str(), 0) == 0;
      if (!done) tree_.fail("link");
    }
  }

 private:
  struct Found {
    int folder;  // until the next one is found
    std::string name;
  };
  // Most come from the same directory as the one before. Nothing of the path may be a link.
  Found find(const std::string& path) {
    const auto slash = path.rfind('/');
    const auto folder = slash == std::string::npos ? std::string(".") : path.substr(0, slash);
    if (!folder_ || folder != folder_path_) {
      folder_ = os::try_open_beneath(tree_.root_, folder, kDirectory);
      folder_path_ = folder;
      if (!folder_) tree_.fail("open");
    }
    return {folder_.get(), slash == std::string::npos ? path : path.substr(slash + 1)};
  }

  // A new file takes the place of this name. Not by rename(2): ext4 writes what replaces a file to the disk at once
  // (mount option auto_da_alloc), and a tree that is not whole is of no use anyway.
  void copy(int folder, const char* name, const struct stat& info) const {
    const os::Fd from(::openat(folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
    if (!from || ::unlinkat(folder, name, 0) != 0) tree_.fail("copy");
    const os::Fd to(::openat(folder, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
    if (!to) tree_.fail("copy");
    copy_bytes(from, to, static_cast<std::uint64_t>(info.st_size));
    const std::array<timespec, 2> times{info.st_atim, info.st_mtim};
    const bool done =
        ::fchmod(to.get(), info.st_mode & 07777 & ~kNotKept) == 0 && ::futimens(to.get(), times.data()) == 0;
    if (!done) tree_.fail("copy");
  }

  void copy_bytes(const os::Fd& from, const os::Fd& to, std::uint64_t size) const {
    std::uint64_t copied = 0;
    while (copied < size) {
      const auto length = ::copy_file_range(from.get(), nullptr, to.get(), nullptr, size - copied, 0);
      if (length <= 0) break;
      copied += static_cast<std::uint64_t>(length);
    }
    if (copied == size) return;
    std::array<char, 65536> buffer;  // file systems that cannot; what was copied is not copied again
    ssize_t length = 0;
    while ((length = ::read(from.get(), buffer.data(), buffer.size())) > 0)
      os::write_all(to, std::string_view(buffer.data(), static_cast<std::size_t>(length)));
    if (length < 0) tree_.fail("copy");
  }

  const Tree& tree_;
  os::Fd folder_;  // where the last one was found
  std::string folder_path_;
};

// Copies take nearly all of the time, and each is a file's own. Neighbours stay together: they have their directory in
// common.
void Tree::settle_links() {
  root_ = os::open_directory(tree_);
  for (const auto& link : links_) bytes_ += bytes_of(link.info);
  const auto processors = std::max(std::thread::hardware_concurrency(), 1U);
  const auto threads = std::clamp<std::size_t>(links_.size() / kWorthAThread, 1, std::min(processors, kMostThreads));
  std::vector<std::exception_ptr> failures(threads);
  const auto settle = [&](std::size_t part) {
    Links links(*this);
    try {
      for (auto at = links_.size() * part / threads; at < links_.size() * (part + 1) / threads; ++at)
        links.settle(links_[at]);
    } catch (...) {
      failures[part] = std::current_exception();
    }
  };
  {
    std::vector<std::jthread> others;
    for (std::size_t part = 1; part < threads; ++part) {
      try {
        others.emplace_back(settle, part);
      } catch (const std::system_error&) {  // no more threads
        settle(part);
      }
    }
    settle(0);
  }
  for (const auto& failure : failures)
    if (failure) std::rethrow_exception(failure);
}

}  // namespace

std::uint64_t make_immutable(const std::string& tree, std::optional<uid_t> builder) {
  return Tree(tree, builder).run();
}

}  // namespace berth::environment
