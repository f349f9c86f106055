#include "agent/drivers/environment_changes.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <string_view>

#include "runtime/base/error.hpp"
#include "runtime/base/text.hpp"

namespace berth::drivers {
namespace {

using SteadyClock = std::chrono::steady_clock;
using Listing = std::unique_ptr<DIR, int (*)(DIR*)>;

constexpr std::string_view kDistribution = ".dist-info";
constexpr std::string_view kCondaPackage = ".json";
constexpr int kDirectory = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;

// "six-1.16.0" of what tells that a distribution or a conda package is installed; "" of all else. pip gives a name
// with '~' to what it is about to remove.
std::string package_of(std::string_view name, bool in_conda_meta) {
  const auto mark = in_conda_meta ? kCondaPackage : kDistribution;
  if (!name.ends_with(mark) || name.size() == mark.size() || name.front() == '~') return {};
  return printable(name.substr(0, name.size() - mark.size()));
}

bool is_compiled(std::string_view name) { return name.ends_with(".pyc") || name == "__pycache__"; }

// In a directory that replaces the one below it, everything of that one is gone.
bool replaces(int directory) {
  char value = 0;
  for (const auto* name : {"trusted.overlay.opaque", "user.overlay.opaque"})
    if (::fgetxattr(directory, name, &value, 1) == 1 && value == 'y') return true;
  return false;
}

class Look {
 public:
  explicit Look(const LookBounds& bounds) : bounds_(bounds), until_(SteadyClock::now() + bounds.time) {}

  model::EnvironmentChanges all(const os::Fd& upper, const os::Fd& lower) {
    directory(upper.get(), lower.get(), false, 0);
    for (auto* names : {&changes_.added, &changes_.removed}) std::sort(names->begin(), names->end());
    return std::move(changes_);
  }

 private:
  void directory(int upper, int lower, bool conda_meta, int depth) {
    const Listing listing(::fdopendir(::openat(upper, ".", kDirectory)), ::closedir);
    if (!listing) return give_up("a directory cannot be read");
    if (lower >= 0 && replaces(upper)) note_replaced(upper, lower, conda_meta);
    while (const auto* found = ::readdir(listing.get())) {
      const std::string_view name(found->d_name);
      if (name == "." || name == "..") continue;
      if (!may_go_on()) return;
      entry(upper, lower, found->d_name, conda_meta, depth);
    }
  }

  void entry(int upper, int lower, const char* name, bool conda_meta, int depth) {
    struct stat info {};
    if (::fstatat(upper, name, &info, AT_SYMLINK_NOFOLLOW) != 0) return give_up("a file cannot be looked at");
    const bool gone = S_ISCHR(info.st_mode) && info.st_rdev == 0;  // overlayfs's mark
    note_package(lower, name, conda_meta, gone);
    if (is_compiled(name)) return;
    if (!S_ISDIR(info.st_mode)) {
      ++changes_.files;
      return;
    }
    if (depth >= bounds_.depth) return give_up("its directories are nested too deeply");
    const os::Fd inner(::openat(upper, name, kDirectory));
    const os::Fd below(lower < 0 ? -1 : ::openat(lower, name, kDirectory));
    if (!inner) return give_up("a directory cannot be opened");
    directory(inner.get(), below.get(), std::string_view(name) == "conda-meta", depth + 1);
  }

  void note_package(int lower, const char* name, bool conda_meta, bool gone) {
    auto package = package_of(name, conda_meta);
    if (package.empty()) return;
    const bool was_there = exists(lower, name);
    if (gone) return add(changes_.removed, std::move(package));
    if (!was_there) add(changes_.added, std::move(package));
  }

  void note_replaced(int upper, int lower, bool conda_meta) {
    const Listing listing(::fdopendir(::openat(lower, ".", kDirectory)), ::closedir);
    while (const auto* found = listing ? ::readdir(listing.get()) : nullptr) {
      const std::string_view name(found->d_name);
      if (name == "." || name == ".." || exists(upper, found->d_name)) continue;
      if (!may_go_on()) return;
      if (auto package = package_of(name, conda_meta); !package.empty()) add(changes_.removed, std::move(package));
      if (!is_compiled(name)) ++changes_.files;
    }
  }

  static bool exists(int directory, const char* name) {
    struct stat info {};
    return directory >= 0 && ::fstatat(directory, name, &info, AT_SYMLINK_NOFOLLOW) == 0;
  }

  void add(std::vector<std::string>& names, std::string name) {
    if (names.size() < bounds_.names)
      names.push_back(std::move(name));
    else
      give_up("there are too many packages to name");
  }

  bool may_go_on() {
    if (++seen_ > bounds_.entries) give_up("there are more than " + std::to_string(bounds_.entries) + " files");
    if (seen_ % 256 == 0 && SteadyClock::now() > until_) give_up("looking at all of them takes too long");
    return seen_ <= bounds_.entries && SteadyClock::now() <= until_;
  }

  void give_up(const std::string& why) {
    if (changes_.unknown.empty()) changes_.unknown = why;
  }

  const LookBounds& bounds_;
  const SteadyClock::time_point until_;
  std::size_t seen_ = 0;
  model::EnvironmentChanges changes_;
};

}  // namespace

model::EnvironmentChanges environment_changes(const os::Fd& upper, const os::Fd& lower, const LookBounds& bounds) {
  return Look(bounds).all(upper, lower);
}

}  // namespace berth::drivers
