#include "runtime/environment/downloads.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <memory>

#include "runtime/base/error.hpp"
#include "runtime/base/text.hpp"
#include "runtime/os/fd.hpp"
#include "runtime/os/file.hpp"

namespace berth::environment {
namespace {

constexpr std::uint64_t kBlock = 512;  // stat(2)'s unit
constexpr std::size_t kDeepest = 128;  // each takes a descriptor; what tools make has some 30
constexpr std::uint64_t kMostEntries = 10'000'000;
constexpr const char* kSetAside = "doomed-";

// What removing a tree would give back.
class Counting {
 public:
  explicit Counting(std::stop_token stop) : stop_(std::move(stop)) {}

  void add_contents(os::Fd directory, std::size_t depth) {
    if (!directory) return;  // gone meanwhile
    if (depth >= kDeepest) whole_ = false;
    if (!whole_) return;
    const int fd = directory.release();
    const std::unique_ptr<DIR, int (*)(DIR*)> listing(::fdopendir(fd), ::closedir);
    if (!listing) throw_errno("read", "a cache of downloads");
    while (const auto* found = ::readdir(listing.get())) {
      const std::string_view name(found->d_name);
      if (name == "." || name == ".." || (depth == 0 && name.starts_with(kSetAside))) continue;
      if (entries_ >= kMostEntries) whole_ = false;
      if (!whole_ || stop_.stop_requested()) return;
      add(fd, found->d_name, depth);
    }
  }

  std::uint64_t bytes() const { return bytes_; }
  bool whole() const { return whole_; }

 private:
  void add(int parent, const char* name, std::size_t depth) {
    ++entries_;
    struct stat info {};
    if (::fstatat(parent, name, &info, AT_SYMLINK_NOFOLLOW) != 0) return;  // gone meanwhile
    const bool directory = S_ISDIR(info.st_mode);
    // Each name counts its share, or somebody could make much of one file by linking to it.
    const auto shares = directory ? 1 : std::max<std::uint64_t>(info.st_nlink, 1);
    bytes_ += static_cast<std::uint64_t>(info.st_blocks) * kBlock / shares;
    if (directory)
      add_contents(os::Fd(::openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)), depth + 1);
  }

  std::stop_token stop_;
  std::uint64_t bytes_ = 0;
  std::uint64_t entries_ = 0;
  bool whole_ = true;
};

std::vector<std::string> names_in(const std::string& directory) {
  std::vector<std::string> names;
  std::error_code failure;
  for (const auto& entry : std::filesystem::directory_iterator(directory, failure))
    names.push_back(entry.path().filename().string());
  return names;
}

Instant time_of_change(const std::string& path) {
  struct stat info {};
  if (::lstat(path.c_str(), &info) != 0) return {};
  return from_unix_micros(info.st_ctim.tv_sec * 1'000'000 + info.st_ctim.tv_nsec / 1000);
}

// Gives it to whom it belongs: that changes its time of change alone.
void touch(const std::string& path) {
  const auto nobody = static_cast<uid_t>(-1);
  if (::lchown(path.c_str(), nobody, nobody) != 0 && errno != ENOENT) throw_errno("note the use of", printable(path));
}

}  // namespace

std::string Downloads::path(Owner owner) const {
  return owner ? os::join(directory_, std::to_string(*owner)) : directory_;
}

// Nothing for what is no person's.
Downloads::Owner Downloads::owner_of(const std::string& name) const {
  uid_t uid = 0;
  const auto read = std::from_chars(name.data(), name.data() + name.size(), uid);
  return read.ec == std::errc() && std::to_string(uid) == name ? Owner(uid) : std::nullopt;
}

bool Downloads::is_set_aside(const std::string& name) const {
  return apart_ ? !owner_of(name) : name.starts_with(kSetAside);
}

std::vector<Downloads::Owner> Downloads::owners() const {
  if (!apart_) return {std::nullopt};
  std::vector<Owner> owners;
  for (const auto& name : names_in(directory_))
    if (const auto owner = owner_of(name)) owners.push_back(owner);
  return owners;
}

// --- builds

void Downloads::begin(const Digest& build, Owner owner) {
  const std::lock_guard changing(changing_);
  touch(path(owner));
  const std::lock_guard guard(mutex_);
  uses_[build] = owner;
}

void Downloads::end(const Digest& build) {
  const std::lock_guard changing(changing_);
  Owner owner;
  {
    const std::lock_guard guard(mutex_);
    const auto use = uses_.find(build);
    if (use == uses_.end()) return;
    owner = use->second;
    uses_.erase(use);
    known_[owner].counted = false;
  }
  touch(path(owner));
}

// With `mutex_` held.
bool Downloads::is_used(Owner owner) const {
  return std::any_of(uses_.begin(), uses_.end(), [&](const auto& use) { return use.second == owner; });
}

// --- counting

std::vector<Downloads::Entry> Downloads::list() {
  const std::lock_guard counting(counting_);
  const auto all = owners();
  forget_others(all);
  for (const auto owner : all)
    if (has_to_be_counted(owner)) count(owner);
  std::vector<Entry> entries;
  for (const auto owner : all) {
    const auto last_used = time_of_change(path(owner));
    const std::lock_guard guard(mutex_);
    const auto known = known_.find(owner);
    if (known == known_.end()) continue;  // set aside meanwhile
    entries.push_back({owner, known->second.bytes, last_used, is_used(owner), known->second.countable});
  }
  return entries;
}

// Somebody else removed them.
void Downloads::forget_others(const std::vector<Owner>& owners) {
  const std::lock_guard guard(mutex_);
  std::erase_if(known_, [&](const auto& one) {
    return !is_used(one.first) && std::find(owners.begin(), owners.end(), one.first) == owners.end();
  });
}

// From here on whatever uses it or sets it aside is noticed; what is being set aside at this moment is gone, then.
bool Downloads::has_to_be_counted(Owner owner) {
  const std::lock_guard changing(changing_);
  const std::lock_guard guard(mutex_);
  auto& known = known_[owner];
  if (known.counted) return false;
  known.counted = !is_used(owner);
  return true;
}

void Downloads::count(Owner owner) {
  Counting counting(stop_.get_token());
  counting.add_contents(os::Fd(::open(path(owner).c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)), 0);
  const std::lock_guard guard(mutex_);
  const auto known = known_.find(owner);
  if (known == known_.end()) return;
  known->second.bytes = counting.bytes();
  known->second.countable = counting.whole();
}

std::uint64_t Downloads::bytes() {
  const std::lock_guard guard(mutex_);
  std::uint64_t bytes = 0;
  for (const auto& [owner, known] : known_) bytes += known.bytes;
  return bytes;
}

// --- removal

std::vector<std::string> Downloads::set_aside(Owner owner) {
  const std::lock_guard changing(changing_);
  {
    const std::lock_guard guard(mutex_);
    if (is_used(owner))
      throw Error(Code::conflict, "environments are being built with what would be removed",
                  "wait until they are there");
    known_.erase(owner);
  }
  std::vector<std::string> moved;
  if (owner) {
    if (os::exists(path(owner))) moved.push_back(move_away(std::to_string(*owner)));
    return moved;
  }
  for (const auto& name : names_in(directory_))
    if (!is_set_aside(name)) moved.push_back(move_away(name));
  return moved;
}

// Within its parent: what a closed directory has as its own parent cannot be changed without root.
std::string Downloads::move_away(const std::string& name) {
  auto to = os::join(directory_, kSetAside + std::to_string(++moves_));
  while (os::exists(to)) to = os::join(directory_, kSetAside + std::to_string(++moves_));
  std::error_code failure;
  std::filesystem::rename(os::join(directory_, name), to, failure);
  if (failure) throw errno_error(failure.value(), "set aside", printable(os::join(directory_, name)));
  return to;
}

std::vector<std::string> Downloads::left_over() const {
  std::vector<std::string> paths;
  for (const auto& name : names_in(directory_))
    if (is_set_aside(name)) paths.push_back(os::join(directory_, name));
  return paths;
}

os::Removal Downloads::remove(const std::vector<std::string>& paths) const {
  os::Removal all;
  for (const auto& path : paths) {
    const auto one = os::remove_what_can_be(path, stop_.get_token());
    all.left += one.left;
    all.stopped = all.stopped || one.stopped;
    if (all.first_failure.empty()) all.first_failure = one.first_failure;
  }
  return all;
}

}  // namespace berth::environment
