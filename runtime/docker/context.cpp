#include "runtime/docker/context.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <optional>

#include "runtime/base/error.hpp"
#include "runtime/base/text.hpp"
#include "runtime/docker/ignore.hpp"
#include "runtime/objects/sha256.hpp"
#include "runtime/os/beneath.hpp"
#include "runtime/os/file.hpp"

namespace berth::docker {
namespace {

constexpr const char* kIgnoreFile = ".dockerignore";
constexpr std::uint64_t kLargestIgnoreFile = 1U << 20;
constexpr std::size_t kDeepest = 256;
constexpr std::size_t kReadAhead = 256 << 10;

// Whatever it is by now; a fifo does not hang it.
os::Fd open_entry(const os::Fd& root, const std::string& name) {
  return os::try_open_beneath(root, name, O_RDONLY | O_NONBLOCK);
}

std::string below(const std::string& directory, const std::string& name) {
  return directory.empty() ? name : directory + "/" + name;
}

std::vector<std::string> names_in(const os::Fd& directory, const std::string& path) {
  const int copy = ::openat(directory.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  const std::unique_ptr<DIR, int (*)(DIR*)> stream(copy < 0 ? nullptr : ::fdopendir(copy), ::closedir);
  if (!stream) throw_errno("list", printable(path));
  std::vector<std::string> names;
  while (const auto* entry = ::readdir(stream.get())) {
    std::string name = entry->d_name;
    if (name != "." && name != "..") names.push_back(std::move(name));
  }
  std::ranges::sort(names);
  return names;
}

std::string link_target(const os::Fd& directory, const std::string& name) {
  std::string target(4096, '\0');
  const auto n = ::readlinkat(directory.get(), name.c_str(), target.data(), target.size());
  if (n < 0) throw_errno("read the link", printable(name));
  target.resize(static_cast<std::size_t>(n));
  return target;
}

// Lists a tree into entries: sorted, directories before what is in them.
class Lister {
 public:
  Lister(const os::Fd& root, std::string place, IgnoreFile ignored, std::string dockerfile)
      : root_(root), place_(std::move(place)), ignored_(std::move(ignored)), dockerfile_(std::move(dockerfile)) {}

  std::vector<tar::Entry> list() {
    visit(root_, "", 0);
    return std::move(entries_);
  }

 private:
  bool wanted(const std::string& path) const {
    return path == dockerfile_ || path == kIgnoreFile || !ignored_.ignores(path);
  }
  // Whether something in an ignored directory may be wanted.
  bool worth_a_look(const std::string& directory) const {
    return ignored_.takes_back() || dockerfile_.starts_with(directory + "/");
  }

  void visit(const os::Fd& directory, const std::string& path, std::size_t depth) {
    if (depth > kDeepest) throw Error(Code::too_large, printable(os::join(place_, path)) + " is nested too deeply");
    for (const auto& name : names_in(directory, os::join(place_, path)))
      take(directory, name, below(path, name), depth);
  }

  void take(const os::Fd& directory, const std::string& name, const std::string& path, std::size_t depth) {
    struct stat found {};
    if (::fstatat(directory.get(), name.c_str(), &found, AT_SYMLINK_NOFOLLOW) != 0) {
      if (errno == ENOENT) return;
      throw_errno("look at", printable(os::join(place_, path)));
    }
    tar::Entry entry{tar::Kind::file, path, found.st_mode & 07777U, 0, found.st_mtime, {}};
    if (S_ISDIR(found.st_mode)) return take_directory(directory, name, std::move(entry), depth);
    if (!wanted(path)) return;
    if (S_ISLNK(found.st_mode)) {
      entry.kind = tar::Kind::symlink;
      entry.target = link_target(directory, name);
    } else if (S_ISREG(found.st_mode)) {
      entry.size = static_cast<std::uint64_t>(found.st_size);
    } else {
      return;
    }
    add(std::move(entry));
  }

  // An ignored directory appears only when something in it is taken.
  void take_directory(const os::Fd& parent, const std::string& name, tar::Entry entry, std::size_t depth) {
    entry.kind = tar::Kind::directory;
    const auto path = entry.name;
    const bool own = wanted(path);
    if (!own && !worth_a_look(path)) return;
    const os::Fd directory(::openat(parent.get(), name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!directory) throw_errno("open", printable(os::join(place_, path)));
    waiting_.push_back(std::move(entry));
    if (own) add_waiting();
    visit(directory, path, depth + 1);
    if (!waiting_.empty() && waiting_.back().name == path) waiting_.pop_back();
  }

  void add(tar::Entry entry) {
    add_waiting();
    entries_.push_back(std::move(entry));
  }
  void add_waiting() {
    std::ranges::move(waiting_, std::back_inserter(entries_));
    waiting_.clear();
  }

  const os::Fd& root_;
  std::string place_;
  IgnoreFile ignored_;
  std::string dockerfile_;
  std::vector<tar::Entry> entries_;
  std::vector<tar::Entry> waiting_;  // directories above what is looked at, not added yet
};

IgnoreFile ignore_file_of(const os::Fd& root, const std::string& place) {
  const auto file = open_entry(root, kIgnoreFile);
  if (!file) return {};
  try {
    return IgnoreFile::parse(os::read_all(file, kLargestIgnoreFile));
  } catch (Error& error) {
    error.add_context("reading " + printable(os::join(place, kIgnoreFile)));
    throw;
  }
}

void check_dockerfile(const os::Fd& root, const std::string& place, const std::string& dockerfile) {
  if (dockerfile.empty() || dockerfile.starts_with('/'))
    throw Error(Code::invalid, "the Dockerfile " + printable(dockerfile) + " is not in " + printable(place),
                "name it relative to the build's directory");
  const auto file = open_entry(root, dockerfile);
  if (!file && (errno == EXDEV || errno == ELOOP))
    throw Error(Code::invalid, "the Dockerfile " + printable(dockerfile) + " is not in " + printable(place),
                "it must be a file of the build's directory itself, no link");
  if (!file) throw errno_error(errno, "open the Dockerfile", printable(os::join(place, dockerfile)));
}

}  // namespace

BuildContext BuildContext::of_directory(const std::string& directory, const std::string& dockerfile) {
  BuildContext context;
  context.place_ = directory;
  context.root_ = os::open(directory, O_RDONLY | O_DIRECTORY);
  check_dockerfile(context.root_, directory, dockerfile);
  auto ignored = ignore_file_of(context.root_, directory);
  for (auto& entry : Lister(context.root_, directory, std::move(ignored), dockerfile).list())
    context.entries_.push_back({std::move(entry), {}});
  return context;
}

BuildContext BuildContext::of_files(const std::map<std::string, std::string>& files) {
  BuildContext context;
  for (const auto& [name, content] : files) {
    const tar::Entry entry{tar::Kind::file, name, 0644, content.size(), 0, {}};
    context.entries_.push_back({entry, content});
  }
  return context;
}

void BuildContext::open_item(const Item& item) {
  ready_ = tar::header(item.entry);
  if (item.entry.kind != tar::Kind::file) return;
  if (!root_) {
    (ready_ += item.content) += tar::padding(item.entry.size);
    return;
  }
  left_ = item.entry.size;
  file_ = open_entry(root_, item.entry.name);
  struct stat found {};
  const bool same = file_ && ::fstat(file_.get(), &found) == 0 && S_ISREG(found.st_mode) &&
                    static_cast<std::uint64_t>(found.st_size) == left_;
  if (same) return;
  if (!file_ && errno != ENOENT && errno != ELOOP && errno != EXDEV)
    throw errno_error(errno, "read", printable(os::join(place_, item.entry.name)));
  throw Error(Code::conflict,
              printable(os::join(place_, item.entry.name)) + " changed while the build's directory was read",
              "build again when nothing writes there");
}

// Makes bytes ready; none at the end.
void BuildContext::fill() {
  handed_ = 0;
  ready_.clear();
  if (file_ && left_ > 0) {
    ready_.resize(std::min<std::uint64_t>(left_, kReadAhead));
    const auto n = os::read_some(file_, ready_);
    const auto& entry = entries_[next_ - 1].entry;
    if (n == 0)
      throw Error(Code::conflict, printable(os::join(place_, entry.name)) + " became shorter while it was read");
    ready_.resize(n);
    left_ -= n;
    if (left_ == 0) ready_ += tar::padding(entry.size);
    return;
  }
  file_.reset();
  if (next_ < entries_.size()) return open_item(entries_[next_++]);
  if (!std::exchange(ended_, true)) ready_ = tar::end();
}

std::size_t BuildContext::read(std::span<char> buffer) {
  if (handed_ == ready_.size()) fill();
  const auto n = ready_.copy(buffer.data(), buffer.size(), handed_);
  handed_ += n;
  return n;
}

Digest BuildContext::digest() const {
  BuildContext copy;
  copy.place_ = place_;
  copy.entries_ = entries_;
  if (root_) copy.root_.reset(::fcntl(root_.get(), F_DUPFD_CLOEXEC, 0));
  for (auto& item : copy.entries_) {
    item.entry.modified = 0;
    item.entry.mode = item.entry.kind == tar::Kind::file && (item.entry.mode & 0100U) != 0 ? 0755 : 0644;
  }
  objects::Sha256 sum;
  std::vector<char> block(kReadAhead);
  while (const auto n = copy.read(block)) sum.update(std::string_view(block.data(), n));
  return sum.finish();
}

std::uint64_t BuildContext::bytes() const {
  std::uint64_t sum = 0;
  for (const auto& item : entries_) sum += item.entry.size;
  return sum;
}

}  // namespace berth::docker
