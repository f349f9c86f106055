#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <exception>
#include <set>
#include <unordered_set>

#include "runtime/base/error.hpp"
#include "runtime/base/text.hpp"
#include "runtime/git/module.hpp"
#include "runtime/git/program.hpp"
#include "runtime/git/provenance.hpp"
#include "runtime/objects/sha256.hpp"
#include "runtime/os/file.hpp"
#include "runtime/os/module.hpp"

namespace berth::git {
namespace {

constexpr std::uint32_t kSymlink = 0120000;
constexpr std::size_t kSha1Digits = 40;
constexpr std::size_t kMostUntracked = 1000;
constexpr std::size_t kPiece = 1U << 20;
constexpr std::int64_t kSecond = 1'000'000'000;

struct Ids {
  std::string raw;
  std::string stored;  // as git's own rules (line ends) would store it
};

bool as_seen(const Tracked& tracked, const Sent& file) {
  if (!tracked.seen || file.inode == 0) return false;
  const Tracked::Seen now{static_cast<std::uint32_t>(file.size),
                          static_cast<std::uint32_t>(file.inode),
                          static_cast<std::int32_t>(file.modified / kSecond),
                          static_cast<std::uint32_t>(file.modified % kSecond),
                          static_cast<std::int32_t>(file.changed / kSecond),
                          static_cast<std::uint32_t>(file.changed % kSecond)};
  return *tracked.seen == now;
}

std::int64_t nanoseconds(const timespec& time) { return time.tv_sec * kSecond + time.tv_nsec; }

// Whether it still is what was sent.
bool is_as_sent(const std::string& path, const Sent& file) {
  struct stat info {};
  return ::lstat(path.c_str(), &info) == 0 && static_cast<std::uint64_t>(info.st_size) == file.size &&
         (file.inode == 0 || (info.st_ino == file.inode && nanoseconds(info.st_mtim) == file.modified &&
                              nanoseconds(info.st_ctim) == file.changed));
}

// What Git LFS stores in place of a file.
std::string pointer_to(const std::string& path) {
  const auto file = os::open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  objects::Sha256 digest;
  std::uint64_t size = 0;
  std::vector<char> piece(kPiece);
  for (ssize_t length = 0; (length = ::read(file.get(), piece.data(), piece.size())) != 0;) {
    if (length < 0) throw_errno("read", path);
    digest.update({piece.data(), static_cast<std::size_t>(length)});
    size += static_cast<std::uint64_t>(length);
  }
  return "version https://git-lfs.github.com/spec/v1\noid sha256:" + digest.finish().hex() + "\nsize " +
         std::to_string(size) + "\n";
}

void take_ids(void* context, const char* key, const char* bytes, std::size_t length) {
  if (std::string_view(key) != "hash") return;
  const std::string text(bytes, length);
  const auto first = text.find('\0');
  const auto second = text.find('\0', first + 1);
  auto& ids = *static_cast<std::unordered_map<std::size_t, Ids>*>(context);
  ids[std::stoull(text)] = {text.substr(first + 1, second - first - 1), text.substr(second + 1)};
}

#if defined(__clang__)
__attribute__((no_sanitize("function")))
#endif
std::unordered_map<std::size_t, Ids>
ids_of(const std::vector<BerthGitContent>& contents) {
  std::unordered_map<std::size_t, Ids> ids;
  const auto ask = reinterpret_cast<BerthGitHash>(os::load_module("berth_git", "berth_git_hash_2"));
  ask(contents.data(), contents.size(), take_ids, &ids);
  return ids;
}

using Directories = std::unordered_set<std::string_view>;

Directories directories_of(const std::unordered_map<std::string, Tracked>& files) {
  Directories directories;
  for (const auto& [path, tracked] : files)
    for (auto slash = path.find('/'); slash != std::string::npos; slash = path.find('/', slash + 1))
      directories.insert(std::string_view(path).substr(0, slash));
  return directories;
}

// As git names it: the directory above it that has nothing tracked in it, the uppermost, or itself.
std::string first_untracked(std::string_view path, const Directories& directories) {
  auto slash = path.find('/');
  while (slash != std::string_view::npos && directories.contains(path.substr(0, slash)))
    slash = path.find('/', slash + 1);
  return std::string(path.substr(0, slash));
}

class Comparison {
 public:
  Comparison(Provenance& found, const std::string& directory) : found_(found), directory_(directory) {}

  void run(const std::vector<Sent>& sent) {
    std::size_t met = 0;
    for (const auto& file : sent) {
      const auto tracked = found_.tracked->find(file.path);
      if (tracked == found_.tracked->end()) {
        untracked_.push_back(file.path);
        continue;
      }
      ++met;
      look_at(file, tracked->second);
    }
    look_at_contents();
    if (met < found_.tracked->size()) look_at_absent(sent);
    tell();
  }

 private:
  struct Pending {
    const Sent* file;
    const Tracked* tracked;
  };

  std::string whole(const std::string& path) const { return os::join(directory_, path); }
  std::string from_top(const std::string& path) const { return found_.path.empty() ? path : found_.path + "/" + path; }

  void look_at(const Sent& file, const Tracked& tracked) {
    if ((file.mode == kSymlink) != (tracked.mode == kSymlink)) return changed_.push_back(file.path);
    // Old commits hold a mode or two that are written no more.
    const bool executable = (tracked.mode & 0100) != 0;
    if (file.mode != kSymlink && executable != (file.mode == 0100755)) mode_changed(file.path, executable);
    if (tracked.filtered ? !is_stored_apart(file, tracked) : !as_seen(tracked, file))
      pending_.push_back({&file, &tracked});
  }

  // What the index saw was what the filter made of it, whatever that does.
  bool is_stored_apart(const Sent& file, const Tracked& tracked) {
    return tracked.id.size() == kSha1Digits && file.mode != kSymlink &&
           id_of(pointer_to(whole(file.path))) == tracked.id && is_as_sent(whole(file.path), file);
  }

  // git may have been told not to look at the executable bit.
  void mode_changed(const std::string& path, bool was_executable) {
    changed_.push_back(path);
    const auto name = from_top(path);
    if (is_diffed(name) || name.find_first_of("\"\\\n\t") != std::string::npos) return;
    found_.diff += "diff --git a/" + name + " b/" + name + "\nold mode " + (was_executable ? "100755" : "100644") +
                   "\nnew mode " + (was_executable ? "100644" : "100755") + "\n";
    found_.diffed.push_back(name);
  }

  bool is_diffed(const std::string& name) const {
    return std::find(found_.diffed.begin(), found_.diffed.end(), name) != found_.diffed.end();
  }

  void look_at_contents() {
    if (pending_.empty()) return;
    const auto ids = ids_of_pending();
    for (std::size_t i = 0; i < pending_.size(); ++i) {
      const auto& [file, tracked] = pending_[i];
      const auto found = ids.find(i);
      if (!is_as_sent(whole(file->path), *file))
        doubt("'" + printable(file->path) + "' changed while it was looked at");
      else if (found == ids.end())
        doubt("'" + printable(file->path) + "' could not be compared");
      else
        judge(*file, *tracked, found->second);
    }
  }

  std::unordered_map<std::size_t, Ids> ids_of_pending() {
    const bool sha1 = pending_.front().tracked->id.size() == kSha1Digits;
    std::unordered_map<std::size_t, Ids> ids;
    if (sha1) {
      std::vector<std::string> paths;
      std::vector<BerthGitContent> contents;
      paths.reserve(pending_.size());
      for (const auto& [file, tracked] : pending_) {
        paths.push_back(whole(file->path));
        contents.push_back({paths.back().c_str(), file->mode == kSymlink ? file->target.c_str() : nullptr});
      }
      return ids_of(contents);
    }
    std::vector<std::string> paths;
    for (const auto& [file, tracked] : pending_)
      if (file->mode != kSymlink) paths.push_back(file->path);
    const auto by_path = ids_by_program(directory_, paths);
    for (std::size_t i = 0; i < pending_.size(); ++i)
      if (const auto id = by_path.find(pending_[i].file->path); id != by_path.end()) ids[i] = {id->second, id->second};
    return ids;
  }

  void judge(const Sent& file, const Tracked& tracked, const Ids& ids) {
    if (ids.raw == tracked.id || (!tracked.filtered && ids.stored == tracked.id)) return;
    if (!tracked.filtered) return changed_.push_back(file.path);
    doubt("'" + printable(file.path) + "' goes through a filter, a program that only git may run");
  }

  static std::string id_of(const std::string& content) {
    const std::vector<BerthGitContent> contents{{nullptr, content.c_str()}};
    const auto ids = ids_of(contents);
    return ids.empty() ? std::string() : ids.at(0).raw;
  }

  // Of the commit, but not sent.
  void look_at_absent(const std::vector<Sent>& sent) {
    std::unordered_set<std::string_view> names;
    for (const auto& file : sent) names.insert(file.path);
    for (const auto& [path, tracked] : *found_.tracked) {
      if (names.contains(path)) continue;
      if (os::exists(whole(path)))
        ++found_.not_sent;
      else if (tracked.not_checked_out)
        ++found_.not_checked_out;
      else if (found_.index_read)
        changed_.push_back(path);
      else
        doubt("git's index cannot be read: '" + printable(path) + "' may be deleted or never have been checked out");
    }
  }

  void doubt(std::string why) {
    if (doubt_.empty()) doubt_ = std::move(why);
  }

  void tell() {
    list_untracked();
    found_.dirty = found_.changed || !changed_.empty() || !untracked_.empty();
    found_.unknown = found_.dirty ? "" : doubt_;
    for (const auto& path : changed_) {
      const auto name = from_top(path);
      if (is_diffed(name)) continue;
      found_.diff_cut = true;
      found_.diff += "# left out: " + printable(name) + " (git was told to look away from it)\n";
    }
    if (found_.not_checked_out > 0)
      found_.remarks.push_back(std::to_string(found_.not_checked_out) +
                               " files of the commit are not checked out, and were not sent");
    if (found_.not_sent > 0)
      found_.remarks.push_back(std::to_string(found_.not_sent) + " files of the commit were left out of what was sent");
  }

  // As git names them: a directory that has nothing tracked in it stands for all in it. Only what is sent counts.
  void list_untracked() {
    std::set<std::string> listed;
    const auto directories = untracked_.empty() ? Directories() : directories_of(*found_.tracked);
    for (const auto& path : untracked_) {
      auto name = first_untracked(path, directories);
      if (name.size() < path.size()) name += '/';
      if (listed.size() < kMostUntracked) listed.insert(from_top(name));
    }
    found_.untracked.assign(listed.begin(), listed.end());
  }

  Provenance& found_;
  const std::string& directory_;
  std::vector<Pending> pending_;
  std::vector<std::string> changed_;
  std::vector<std::string> untracked_;
  std::string doubt_;
};

}  // namespace

std::vector<std::string> differing(const Provenance& found, const std::vector<Sent>& sent) {
  std::set<std::string> paths;
  std::vector<std::string_view> strange;
  if (!found.tracked) return {};
  for (const auto& file : sent) {
    const auto tracked = found.tracked->find(file.path);
    if (tracked == found.tracked->end())
      strange.push_back(file.path);
    else if (tracked->second.mode != file.mode || !as_seen(tracked->second, file))
      paths.insert(file.path);
  }
  if (!strange.empty()) {
    const auto directories = directories_of(*found.tracked);
    for (const auto path : strange) paths.insert(first_untracked(path, directories));
  }
  if (sent.size() - strange.size() < found.tracked->size()) {
    std::unordered_set<std::string_view> names;
    for (const auto& file : sent) names.insert(file.path);
    for (const auto& [path, tracked] : *found.tracked)
      if (!names.contains(path)) paths.insert(path);
  }
  return {paths.begin(), paths.end()};
}

void compare(Provenance& found, const std::string& directory, const std::vector<Sent>& sent) {
  if (found.no_commit) {
    found.dirty = true;
    return;
  }
  if (!found.tracked) {
    found.dirty = false;  // whatever git compared, it was not with the commit
    if (found.unknown.empty()) found.unknown = "what the commit holds could not be read";
    return;
  }
  try {
    Comparison(found, directory).run(sent);
  } catch (const std::exception&) {
    found.unknown = "the comparison failed: " + error_from(std::current_exception()).describe();
  }
}

}  // namespace berth::git
