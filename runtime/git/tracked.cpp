// What the commit holds, as the index saw it.

#include <cstdlib>
#include <limits>

#include "runtime/git/teller.hpp"

namespace berth::git {
namespace {

constexpr int kDeepestTree = 400;
constexpr const char* kAttributes = ".gitattributes";

bool names_programs(git_repository* repository) {
  const auto config = make<Config>(git_repository_config_snapshot, repository);
  const auto all =
      config ? make<ConfigIterator>(git_config_iterator_glob_new, config.get(), "^filter\\.") : ConfigIterator();
  git_config_entry* entry = nullptr;
  return all && git_config_next(&entry, all.get()) == 0;
}

// Of all files, or of directories that the index alone has. Those of a directory are looked for as it is gone through.
bool has_attributes(git_repository* repository, git_index* index) {
  const std::string common = git_repository_commondir(repository);
  if (index == nullptr || exists(common + "info/attributes")) return true;
  const char* home = std::getenv("HOME");
  const char* configuration = std::getenv("XDG_CONFIG_HOME");
  const auto own = configuration != nullptr && *configuration != '\0' ? std::string(configuration)
                   : home != nullptr                                  ? std::string(home) + "/.config"
                                                                      : std::string();
  if (exists(own + "/git/attributes") || exists("/etc/gitattributes")) return true;
  const auto config = make<Config>(git_repository_config_snapshot, repository);
  const char* file = nullptr;
  if (!config || git_config_get_string(&file, config.get(), "core.attributesfile") == 0) return true;
  for (std::size_t i = 0; i < git_index_entrycount(index); ++i)
    if (std::string_view(git_index_get_byindex(index, i)->path).ends_with(kAttributes)) return true;
  return false;
}

void see(BerthGitTracked& tracked, const git_index_entry& entry) {
  tracked.flags |= kBerthGitSeen;
  tracked.size = entry.file_size;
  tracked.inode = entry.ino;
  tracked.modified = entry.mtime.seconds;
  tracked.modified_rest = entry.mtime.nanoseconds;
  tracked.changed = entry.ctime.seconds;
  tracked.changed_rest = entry.ctime.nanoseconds;
}

// A file or link that git was told nothing special about.
bool is_plain(const git_index_entry& entry) {
  const bool known =
      entry.mode == GIT_FILEMODE_BLOB || entry.mode == GIT_FILEMODE_BLOB_EXECUTABLE || entry.mode == GIT_FILEMODE_LINK;
  return known && (entry.flags & (GIT_INDEX_ENTRY_VALID | GIT_INDEX_ENTRY_STAGEMASK)) == 0 &&
         (entry.flags_extended & (GIT_INDEX_ENTRY_SKIP_WORKTREE | GIT_INDEX_ENTRY_INTENT_TO_ADD)) == 0;
}

// Whether the index is that tree, as it remembers since it was last written whole. Where it does not remember, libgit2
// would write the trees: here, to a store that takes nothing.
bool holds(git_index* index, const git_oid& tree) {
  const auto nothing = make<Odb>(git_odb_new);
  const auto nowhere = nothing ? make<Repository>(git_repository_wrap_odb, nothing.get()) : Repository();
  git_oid id;
  return index != nullptr && nowhere && git_index_write_tree_to(&id, index, nowhere.get()) == 0 &&
         git_oid_equal(&id, &tree) != 0;
}

}  // namespace

// A repository's index, and when it was written: an entry as young as that may have been changed in the same tick of
// the clock. And which of its files attributes may name a program for that changes content: looking up those of every
// file takes longer than all else.
struct SeenIndex {
  explicit SeenIndex(git_repository* repository)
      : index(make<Index>(git_repository_index, repository)),
        programs(names_programs(repository)),
        filters(programs && has_attributes(repository, index.get())) {
    struct stat info {};
    const char* path = index ? git_index_path(index.get()) : nullptr;
    if (path == nullptr || ::stat(path, &info) != 0) return;
    seconds = static_cast<std::int32_t>(info.st_mtim.tv_sec);
    rest = static_cast<std::uint32_t>(info.st_mtim.tv_nsec);
  }
  const git_index_entry* find(const std::string& path) const {
    return index ? git_index_get_bypath(index.get(), path.c_str(), 0) : nullptr;
  }
  bool is_older_than(const git_index_entry& entry) const {
    if (entry.mtime.seconds != seconds) return entry.mtime.seconds > seconds;
    return entry.mtime.nanoseconds >= rest;
  }
  Index index;
  bool programs;  // are configured
  bool filters;  // and may apply anywhere
  std::int32_t seconds = std::numeric_limits<std::int32_t>::min();
  std::uint32_t rest = 0;
};

// By attributes of the directories above the one that is told of.
bool Teller::is_filtered_above(const SeenIndex& index) const {
  if (!index.programs) return false;
  const std::string top = git_repository_workdir(repository_.get());
  for (std::size_t end = 0; end != std::string::npos; end = path_.find('/', end + 1))
    if (exists(top + path_.substr(0, end) + (end == 0 ? "" : "/") + kAttributes)) return true;
  return false;
}

void Teller::tell_untold() {
  if (cut_) tell("diff_cut");
  if (untracked_ > kMostUntracked)
    remark(std::to_string(untracked_ - kMostUntracked) + " more untracked files are not listed");
}

bool Teller::tell_indexed() {
  if (!tree_) return false;
  const SeenIndex index(repository_.get());
  if (!holds(index.index.get(), *git_object_id(tree_.get())) || index.filters || is_filtered_above(index)) return false;
  const auto below = path_.empty() ? std::string() : path_ + "/";
  const auto count = git_index_entrycount(index.index.get());
  for (std::size_t i = 0; i < count; ++i)
    if (!is_plain(*git_index_get_byindex(index.index.get(), i)) ||
        index.is_older_than(*git_index_get_byindex(index.index.get(), i)))
      return false;
  std::string bytes;
  for (std::size_t i = 0; i < count; ++i) {
    const auto& entry = *git_index_get_byindex(index.index.get(), i);
    const std::string_view path = entry.path;
    if (!path.starts_with(below)) continue;
    BerthGitTracked tracked;
    tracked.mode = entry.mode;
    git_oid_fmt(tracked.id, &entry.id);
    see(tracked, entry);
    bytes.assign(reinterpret_cast<const char*>(&tracked), sizeof tracked);
    tell("tracked", bytes += path.substr(below.size()));
  }
  tell("tracked_all");
  return true;
}

void Teller::tell_tracked() {
  tell_untold();
  if (!tree_) return;
  auto* head = reinterpret_cast<git_tree*>(tree_.get());
  const SeenIndex index(repository_.get());
  bool all = true;
  if (path_.empty()) {
    all = tell_tree(repository_.get(), index, head, "", "", 0, index.filters);
  } else {
    git_tree_entry* raw = nullptr;
    const int result = git_tree_entry_bypath(&raw, head, path_.c_str());
    const TreeEntry entry(raw);
    if (result != 0 && result != GIT_ENOTFOUND) {
      tell("no_tree", "the commit's directory " + path_ + " cannot be read: " + last_error());
      return;
    }
    const auto tree = result == 0 && git_tree_entry_type(raw) == GIT_OBJECT_TREE
                          ? make<Tree>(git_tree_lookup, repository_.get(), git_tree_entry_id(raw))
                          : Tree();
    if (result == 0 && git_tree_entry_type(raw) == GIT_OBJECT_TREE && !tree)
      all = false;
    else if (tree)
      all = tell_tree(repository_.get(), index, tree.get(), path_ + "/", "", 0,
                      index.filters || is_filtered_above(index));
  }
  if (all)
    tell("tracked_all");
  else
    tell("no_tree", "parts of the commit cannot be read: " + last_error());
}

bool Teller::tell_tree(git_repository* repository, const SeenIndex& index, const git_tree* tree,
                       const std::string& in_repository, const std::string& prefix, int depth, bool filtered) {
  if (depth > kDeepestTree) return false;
  filtered = filtered || (index.programs && exists(git_repository_workdir(repository) + in_repository + kAttributes));
  bool all = true;
  const auto count = git_tree_entrycount(tree);
  for (std::size_t i = 0; i < count; ++i) {
    const auto* entry = git_tree_entry_byindex(tree, i);
    const std::string name = git_tree_entry_name(entry);
    switch (git_tree_entry_type(entry)) {
      case GIT_OBJECT_TREE: {
        const auto below = make<Tree>(git_tree_lookup, repository, git_tree_entry_id(entry));
        all = below &&
              tell_tree(repository, index, below.get(), in_repository + name + "/", prefix + name + "/", depth + 1,
                        filtered) &&
              all;
        break;
      }
      case GIT_OBJECT_COMMIT:
        all = tell_submodule_tree(repository, entry, in_repository + name, prefix + name, depth) && all;
        break;
      default:
        tell_file(repository, index, entry, in_repository + name, prefix + name, filtered);
    }
  }
  return all;
}

// One that is not checked out has nothing here; what is in its place is not the commit's.
bool Teller::tell_submodule_tree(git_repository* repository, const git_tree_entry* entry,
                                 const std::string& in_repository, const std::string& path, int depth) {
  const auto place = std::string(git_repository_workdir(repository)) + in_repository;
  if (!exists(place + "/.git")) return true;
  const auto inner = make<Repository>(git_repository_open, place.c_str());
  if (!inner) return false;
  git_oid id = *git_tree_entry_id(entry);
  const auto commit = make<Object>(git_object_lookup, inner.get(), &id, GIT_OBJECT_COMMIT);
  const auto tree = commit ? make<Object>(git_object_peel, commit.get(), GIT_OBJECT_TREE) : Object();
  if (!tree) return false;
  const SeenIndex index(inner.get());
  return tell_tree(inner.get(), index, reinterpret_cast<git_tree*>(tree.get()), "", path + "/", depth + 1,
                   index.filters);
}

void Teller::tell_file(git_repository* repository, const SeenIndex& index, const git_tree_entry* entry,
                       const std::string& in_repository, const std::string& path, bool filtered) {
  BerthGitTracked tracked;
  tracked.mode = static_cast<std::uint32_t>(git_tree_entry_filemode(entry));
  git_oid_fmt(tracked.id, git_tree_entry_id(entry));
  const auto* seen = index.find(in_repository);
  if (seen != nullptr && (seen->flags_extended & GIT_INDEX_ENTRY_SKIP_WORKTREE) != 0)
    tracked.flags |= kBerthGitNotCheckedOut;
  if (seen != nullptr && git_oid_equal(&seen->id, git_tree_entry_id(entry)) != 0 && !index.is_older_than(*seen)) {
    see(tracked, *seen);
  }
  const char* filter = nullptr;
  if (filtered && git_attr_get(&filter, repository, 0, in_repository.c_str(), "filter") == 0 &&
      git_attr_value(filter) == GIT_ATTR_VALUE_STRING)
    tracked.flags |= kBerthGitFiltered;
  std::string bytes(reinterpret_cast<const char*>(&tracked), sizeof tracked);
  tell("tracked", bytes += path);
}

}  // namespace berth::git
