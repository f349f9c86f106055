#include "runtime/snapshot/walk.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <map>
#include <memory>
#include <optional>
#include <utility>

#include "runtime/base/error.hpp"
#include "runtime/base/text.hpp"
#include "runtime/base/units.hpp"
#include "runtime/os/beneath.hpp"
#include "runtime/snapshot/ignore.hpp"
#include "runtime/snapshot/stat_cache.hpp"

namespace berth::snapshot {
namespace {

constexpr auto kNone = Manifest::kRoot;
constexpr const char* kAzureIgnore = ".amlignore";
constexpr const char* kGitIgnore = ".gitignore";
constexpr const char* kTooMany = "is one too many: no more files and directories are taken";

// The ignore files from the root down to a directory, each read when first asked. A directory without one
// shares its parent's.
class RuleChain {
 public:
  RuleChain(const os::Fd& root, std::shared_ptr<RuleChain> parent, std::string directory, const std::string& name)
      : root_(root), parent_(std::move(parent)), directory_(std::move(directory)), file_(directory_ + name) {}

  bool ignores(std::string_view path, std::string_view name, bool is_directory) {
    if (!rules_) load();
    const auto verdict = rules_->verdict(path.substr(directory_.size()), name, is_directory);
    if (verdict != IgnoreRules::Verdict::none) return verdict == IgnoreRules::Verdict::ignored;
    return parent_ && parent_->ignores(path, name, is_directory);
  }

 private:
  void load() {
    const auto file = os::try_open_beneath(root_, file_, O_RDONLY | O_NONBLOCK);
    struct stat info {};
    const bool regular = file && ::fstat(file.get(), &info) == 0 && S_ISREG(info.st_mode);
    rules_ = IgnoreRules::parse(regular ? os::read_all(file, 16U << 20) : std::string());
  }

  const os::Fd& root_;
  std::shared_ptr<RuleChain> parent_;
  std::string directory_;  // with its slash; "" for the root
  std::string file_;
  std::optional<IgnoreRules> rules_;
};

// Whether following the link from a directory at this depth leaves the tree, judged by the text alone.
bool leads_out(std::string_view target, std::size_t depth) {
  if (target.starts_with('/')) return true;
  auto level = static_cast<std::ptrdiff_t>(depth);
  while (!target.empty() && level >= 0) {
    const auto part = target.substr(0, target.find('/'));
    target.remove_prefix(std::min(part.size() + 1, target.size()));
    if (part == "..")
      --level;
    else if (!part.empty() && part != ".")
      ++level;
  }
  return level < 0;
}

struct Directory {
  os::Fd opened;
  int fd = -1;
  std::uint32_t node = kNone;
  std::uint32_t cached = kNone;  // in the cached manifest; kNone for its root
  bool known = false;            // the cache has this directory
  bool same_rules = false;       // the ignore files above are those of the cached scan
  bool settled = true;           // its names may be taken from the cache next time
  std::shared_ptr<RuleChain> rules;
};

class Walk {
 public:
  Walk(const os::Fd& root, const ScanOptions& options, Scan& result)
      : root_(root), options_(options), cache_(options.cache), result_(result) {
    if (cache_ != nullptr) found_.nodes.reserve(cache_->manifest().entries().size() + 16);
  }

  Found run() {
    struct stat info {};
    if (::fstat(root_.get(), &info) < 0) throw_errno("read", "the directory");
    if (!S_ISDIR(info.st_mode)) throw Error(Code::invalid, "a snapshot is taken of a directory, and this is none");
    device_ = info.st_dev;
    if (options_.ignore_files == IgnoreFiles::honour) {
      const bool azure = ::faccessat(root_.get(), kAzureIgnore, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
      result_.ignore_name = azure ? kAzureIgnore : kGitIgnore;
    }
    Directory top;
    top.fd = root_.get();
    top.known = cache_ != nullptr;
    top.same_rules = top.known && cache_->ignore_name() == result_.ignore_name;
    result_.root_stamp = directory(top, stamp_of(info));
    found_.as_cached =
        top.known && as_cached_ == found_.nodes.size() && as_cached_ == cache_->manifest().entries().size();
    return std::move(found_);
  }

 private:
  // The stamp to remember.
  Stamp directory(Directory& here, const Stamp& stamp) {
    ++depth_;
    names(here, stamp);
    --depth_;
    return here.settled ? stamp : Stamp{};
  }

  // A directory that did not change has the names it had, and where the ignore files did not change either,
  // the same of them count: then nothing is listed.
  void names(Directory& here, const Stamp& stamp) {
    bool same_names = here.known && here.same_rules &&
                      stamp == (here.cached == kNone ? cache_->root_stamp() : cache_->stamp(here.cached));
    auto names = same_names ? std::vector<std::string>() : list_names_of(here);
    const auto cached_rules =
        here.known && !result_.ignore_name.empty() ? cached_child(here, result_.ignore_name) : kNone;
    const bool has_rules = same_names ? cached_rules != kNone
                                      : !result_.ignore_name.empty() &&
                                            std::binary_search(names.begin(), names.end(), result_.ignore_name);
    if (has_rules) add_rules(here);
    here.same_rules = here.known && here.same_rules && has_rules == (cached_rules != kNone) &&
                      (!has_rules || is_as_cached(here, cached_rules));
    if (same_names && here.same_rules) return cached_names(here);
    if (same_names) names = list_names_of(here);
    listed_names(here, names);
  }

  bool is_as_cached(const Directory& here, std::uint32_t rules) const {
    struct stat info {};
    return ::fstatat(here.fd, result_.ignore_name.c_str(), &info, AT_SYMLINK_NOFOLLOW) == 0 &&
           cache_->stamp(rules) == stamp_of(info);
  }

  void add_rules(Directory& here) {
    here.rules = std::make_shared<RuleChain>(root_, here.rules, path_, result_.ignore_name);
  }

  std::uint32_t first_child(const Directory& here) const { return here.cached == kNone ? 0 : here.cached + 1; }
  std::uint32_t end_of_children(const Directory& here) const {
    const auto& manifest = cache_->manifest();
    return here.cached == kNone ? static_cast<std::uint32_t>(manifest.entries().size())
                                : manifest[here.cached].subtree_end;
  }

  std::uint32_t cached_child(const Directory& here, std::string_view name) const {
    const auto& manifest = cache_->manifest();
    const auto end = end_of_children(here);
    auto i = first_child(here);
    while (i < end && manifest[i].name < name) i = manifest[i].subtree_end;
    return i < end && manifest[i].name == name ? i : kNone;
  }

  void cached_names(Directory& here) {
    const auto& manifest = cache_->manifest();
    const auto end = end_of_children(here);
    for (auto i = first_child(here); i < end; i = manifest[i].subtree_end) entry(here, manifest[i].name, i);
  }

  void listed_names(Directory& here, std::vector<std::string>& names) {
    auto cached = here.known ? first_child(here) : 0;
    const auto end = here.known ? end_of_children(here) : 0;
    const auto renamed = leaves_out() ? write_otherwise(names) : std::map<std::string, std::string>();
    if (!renamed.empty()) found_.renamed = true;
    for (auto& name : names) {
      if (name == ".git") {
        if (leaves_out()) leave_out(here, name, "is what git keeps, which is never part of a snapshot");
        continue;
      }
      if (is_full()) {
        leave_out(here, name, kTooMany);
        continue;
      }
      while (cached < end && cache_->manifest()[cached].name < name) cached = cache_->manifest()[cached].subtree_end;
      const bool known = cached < end && cache_->manifest()[cached].name == name;
      const auto real = renamed.find(name);
      real_ = real == renamed.end() ? std::string_view() : std::string_view(found_.texts.emplace_back(real->second));
      found_.texts.push_back(std::move(name));
      const std::string_view shown = found_.texts.back();
      if (!real_.empty() && shown.size() > kLongestName)
        leave_out(here, shown,
                  "has a name that is not UTF-8 or has a line break in it, and is too long to be written otherwise");
      else
        entry(here, shown, known ? cached : kNone, Listed::yes);
      real_ = {};
    }
  }

  // Names that no snapshot may have get another one; back comes what they are on disk.
  static std::map<std::string, std::string> write_otherwise(std::vector<std::string>& names) {
    std::map<std::string, std::string> real;
    for (auto& name : names) {
      if (is_valid_name(name)) continue;
      auto shown = printable(name);
      while (real.contains(shown) || std::find(names.begin(), names.end(), shown) != names.end()) shown += '~';
      real.emplace(shown, std::exchange(name, shown));
    }
    if (!real.empty()) std::sort(names.begin(), names.end());
    return real;
  }

  std::vector<std::string> list_names_of(Directory& here) {
    const auto most = leaves_out() ? static_cast<std::size_t>(options_.most_entries) + 1 : static_cast<std::size_t>(-1);
    try {
      auto names = list_names(here.opened ? here.opened : root_, most);
      if (names.size() >= most) result_.left_out.add(printable(path_), "has more in it than is looked at");
      return names;
    } catch (Error& error) {
      problem(here, path_, "cannot be listed: " + error.message(), error.add_context("scanning " + printable(path_)));
      return {};
    }
  }

  enum class Listed { no, yes };

  void entry(Directory& here, std::string_view name, std::uint32_t cached, Listed listed = Listed::no) {
    std::array<char, kLongestName + 1> text;
    const auto on_disk = real_.empty() ? name : real_;
    std::memcpy(text.data(), on_disk.data(), on_disk.size());
    text[on_disk.size()] = '\0';
    struct stat info {};
    if (::fstatat(here.fd, text.data(), &info, AT_SYMLINK_NOFOLLOW) < 0) {
      if (errno == ENOENT) return;  // removed in between
      return unreadable(here, name);
    }
    if (listed == Listed::yes) {
      if (ignored(here, name, S_ISDIR(info.st_mode))) return;
      if (!is_valid_name(name))
        return problem(here, path_ + std::string(name), "has no name for a snapshot", bad_name(name));
    }
    if (!real_.empty())
      leave_out(here, name, "is kept under this name: its own is not UTF-8, or has a line break in it");
    if (S_ISREG(info.st_mode)) return file(here, name, info, cached);
    if (S_ISDIR(info.st_mode)) return subdirectory(here, name, text.data(), cached);
    if (S_ISLNK(info.st_mode)) return symlink(here, name, text.data(), info, cached);
    if (leaves_out()) return leave_out(here, name, "is a socket, a pipe or a device");
    here.settled = false;
    result_.warnings.push_back(printable(path_ + std::string(name)) +
                               " is a socket, a pipe or a device; it is left out");
  }

  bool ignored(Directory& here, std::string_view name, bool is_directory) {
    if (!here.rules) return false;
    const auto before = path_.size();
    path_ += name;
    const bool ignored = here.rules->ignores(path_, name, is_directory);
    path_.resize(before);
    // Rules that are themselves left out have no stamp to tell that they changed.
    if (ignored && name == result_.ignore_name) here.settled = false;
    return ignored;
  }

  Node& add(const Directory& here, Kind kind, std::string_view name, const struct stat& info) {
    if (found_.nodes.size() >= options_.most_entries)
      throw Error(Code::too_large,
                  "there are more than " + std::to_string(options_.most_entries) + " files and directories",
                  "leave some out by entries in " + ignore_file());
    auto& node = found_.nodes.emplace_back();
    node.kind = kind;
    node.parent = here.node;
    node.name = name;
    node.real = real_;
    node.stamp = stamp_of(info);
    node.subtree_end = static_cast<std::uint32_t>(found_.nodes.size());
    return node;
  }

  void file(Directory& here, std::string_view name, const struct stat& info, std::uint32_t cached) {
    const auto size = static_cast<std::uint64_t>(info.st_size);
    if (leaves_out() && (size > kLargestFile || total_ + size > options_.most_bytes))
      return leave_out(here, name, "is more than may be taken (" + to_text(ByteSize(options_.most_bytes)) + " in all)");
    const auto kind = (info.st_mode & S_IXUSR) != 0 ? Kind::executable : Kind::file;
    auto& node = add(here, kind, name, info);
    node.size = size;
    total_ += node.size;
    if (total_ > options_.most_bytes || node.size > kLargestFile)
      throw Error(Code::too_large, "the files are larger than allowed, at " + printable(path_ + std::string(name)),
                  "leave some out by entries in " + ignore_file());
    if (cached != kNone) {
      const auto& before = cache_->manifest()[cached];
      const bool at_hand = !before.is_chunked() || (options_.has_recipe && options_.has_recipe(before.digest));
      if (before.is_file() && before.size == node.size && cache_->stamp(cached) == node.stamp && at_hand) {
        node.digest = before.digest;
        if (before.kind == kind) ++as_cached_;
        return;
      }
    }
    node.unread = true;
    ++found_.unread;
    found_.unread_bytes += node.size;
  }

  void subdirectory(Directory& here, std::string_view name, const char* text, std::uint32_t cached) {
    if (depth_ >= options_.deepest)
      return problem(here, path_ + std::string(name), "is nested too deep", too_deep(name));
    Directory child;
    child.opened = os::Fd(::openat(here.fd, text, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    struct stat info {};
    if (!child.opened || ::fstat(child.opened.get(), &info) < 0) {
      if (errno == ENOENT) return;
      return unreadable(here, name);
    }
    if (options_.one_file_system && info.st_dev != device_) return leave_out(here, name, "is on another file system");
    const auto real = std::exchange(real_, {});
    add(here, Kind::directory, name, info);
    found_.nodes.back().real = real;
    child.fd = child.opened.get();
    child.node = static_cast<std::uint32_t>(found_.nodes.size() - 1);
    child.cached = cached;
    child.known = cached != kNone && cache_->manifest()[cached].is_directory();
    if (child.known) ++as_cached_;
    child.same_rules = here.same_rules;
    child.rules = here.rules;
    const auto before = path_.size();
    (path_ += name) += '/';
    const auto stamp = directory(child, stamp_of(info));
    path_.resize(before);
    auto& node = found_.nodes[child.node];
    node.stamp = stamp;
    node.subtree_end = static_cast<std::uint32_t>(found_.nodes.size());
  }

  void symlink(Directory& here, std::string_view name, const char* text, const struct stat& info,
               std::uint32_t cached) {
    std::string_view target;
    if (cached != kNone && cache_->manifest()[cached].kind == Kind::symlink &&
        cache_->stamp(cached) == stamp_of(info)) {
      target = cache_->manifest()[cached].target;
      ++as_cached_;
    } else {
      std::array<char, kLongestTarget + 1> buffer;
      const auto n = ::readlinkat(here.fd, text, buffer.data(), buffer.size());
      if (n <= 0 || static_cast<std::size_t>(n) > kLongestTarget) return unreadable(here, name);
      target = found_.texts.emplace_back(buffer.data(), static_cast<std::size_t>(n));
    }
    add(here, Kind::symlink, name, info).target = target;
    if (!leads_out(target, depth_ - 1)) return;
    if (leaves_out())
      leave_out(here, name,
                "is a symbolic link out of here, to " + printable(target) + ": the link is kept, not what it leads to");
    else
      result_.warnings.push_back("the symbolic link " + printable(path_ + std::string(name)) +
                                 " leads out of the tree, to " + printable(target) + ", which the node may not have");
  }

  std::string ignore_file() const { return result_.ignore_name == kGitIgnore ? kGitIgnore : kAzureIgnore; }

  void unreadable(Directory& here, std::string_view name) {
    const auto path = path_ + std::string(name);
    const auto error = errno_error(errno, "read", printable(path));
    const auto& why = error.message();
    problem(here, path, "cannot be read: " + why.substr(std::min(why.rfind(": ") + 2, why.size())),
            Error(error.code(), why, "make it readable, or leave it out by an entry in " + ignore_file()));
  }

  Error bad_name(std::string_view name) const {
    return Error(Code::invalid,
                 "the name of " + printable(path_ + std::string(name)) + " is not UTF-8 or has a line break in it",
                 "rename it, or leave it out by an entry in " + ignore_file());
  }

  Error too_deep(std::string_view name) const {
    return Error(Code::invalid, "directories are nested too deep at " + printable(path_ + std::string(name)),
                 "leave this directory out by an entry in " + ignore_file());
  }

  bool leaves_out() const { return options_.problems == ScanOptions::Problems::leave_out; }
  bool is_full() const { return leaves_out() && found_.nodes.size() >= options_.most_entries; }

  void leave_out(Directory& here, std::string_view name, std::string why) {
    here.settled = false;
    result_.left_out.add(printable(path_ + std::string(name)), std::move(why));
  }

  void problem(Directory& here, const std::string& path, std::string why, const Error& error) {
    if (!leaves_out()) throw error;
    here.settled = false;
    result_.left_out.add(printable(path), std::move(why));
  }

  const os::Fd& root_;
  const ScanOptions& options_;
  const StatCache* cache_;
  Scan& result_;
  Found found_;
  std::string path_;  // of the directory being read, with its slash
  std::size_t depth_ = 0;
  std::size_t as_cached_ = 0;  // nodes that are exactly their cached entries
  std::uint64_t total_ = 0;
  std::string_view real_;  // of the entry being looked at, where its name on disk is another one
  dev_t device_ = 0;
};

}  // namespace

namespace {

template <class NameOf>
std::string path_by(const std::vector<Node>& nodes, std::uint32_t node, NameOf name_of) {
  std::vector<std::string_view> names;
  for (; node != kNone; node = nodes[node].parent) names.push_back(name_of(nodes[node]));
  std::string path;
  for (auto name = names.rbegin(); name != names.rend(); ++name) {
    if (!path.empty()) path += '/';
    path += *name;
  }
  return path;
}

}  // namespace

std::string Found::path(std::uint32_t node) const {
  return path_by(nodes, node, [](const Node& each) { return each.name; });
}

std::string Found::path_on_disk(std::uint32_t node) const {
  return path_by(nodes, node, [](const Node& each) { return each.real.empty() ? each.name : each.real; });
}

Found walk(const os::Fd& root, const ScanOptions& options, Scan& result) { return Walk(root, options, result).run(); }

}  // namespace berth::snapshot
