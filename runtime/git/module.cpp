#include "runtime/git/module.hpp"

#include <git2.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace {

template <auto Free>
struct Freed {
  template <class T>
  void operator()(T* object) const {
    Free(object);
  }
};
template <class T, auto Free>
using GitPtr = std::unique_ptr<T, Freed<Free>>;

using Repository = GitPtr<git_repository, git_repository_free>;
using Reference = GitPtr<git_reference, git_reference_free>;
using Object = GitPtr<git_object, git_object_free>;
using Index = GitPtr<git_index, git_index_free>;
using Diff = GitPtr<git_diff, git_diff_free>;
using Patch = GitPtr<git_patch, git_patch_free>;
using Remote = GitPtr<git_remote, git_remote_free>;
using Config = GitPtr<git_config, git_config_free>;
using Odb = GitPtr<git_odb, git_odb_free>;
using Walk = GitPtr<git_revwalk, git_revwalk_free>;
using Tree = GitPtr<git_tree, git_tree_free>;
using TreeEntry = GitPtr<git_tree_entry, git_tree_entry_free>;
using ConfigIterator = GitPtr<git_config_iterator, git_config_iterator_free>;

// What libgit2 writes through an out parameter: make<Index>(git_repository_index, repository).
template <class Ptr, class Function, class... Arguments>
Ptr make(Function function, Arguments... arguments) {
  typename Ptr::pointer raw = nullptr;
  return function(&raw, arguments...) == 0 ? Ptr(raw) : Ptr();
}

struct Buffer : git_buf {
  Buffer() : git_buf GIT_BUF_INIT {}
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  ~Buffer() { git_buf_dispose(this); }
};

std::string last_error() {
  const auto* error = git_error_last();
  return error != nullptr && error->message != nullptr ? error->message : "unknown reason";
}

std::string hex(const git_oid& id) {
  std::string text(GIT_OID_HEXSZ, '0');
  git_oid_fmt(text.data(), &id);
  return text;
}

struct SeenIndex;

// The facts of one work tree, told to the sink one after the other.
class Teller {
 public:
  Teller(const char* directory, std::size_t diff_limit, BerthGitSink sink, void* context)
      : directory_(directory), diff_left_(diff_limit), sink_(sink), context_(context) {}

  void tell_all();

 private:
  void tell(const char* key, std::string_view value = {}) {
    sink_(context_, key, value.data(), value.size());
  }
  void remark(const std::string& text) { tell("remark", text); }
  void cannot(const std::string& what) { remark("cannot " + what + ": " + last_error()); }

  bool open();
  void tell_head();
  void tell_remote(const std::string& branch);
  void tell_description(const git_oid& head);
  void tell_changes();
  void tell_changes_of(git_repository* repository, git_tree* head, const std::string& prefix, const std::string& below);
  void tell_change(git_diff* diff, std::size_t number, const std::string& prefix);
  void tell_tracked();
  bool tell_tree(git_repository* repository, const SeenIndex& index, const git_tree* tree, const std::string& in_repository,
                 const std::string& prefix, int depth);
  bool tell_submodule_tree(git_repository* repository, const git_tree_entry* entry, const std::string& in_repository,
                           const std::string& path, int depth);
  void tell_file(git_repository* repository, const SeenIndex& index, const git_tree_entry* entry,
                 const std::string& in_repository, const std::string& path);
  void leave_out(const char* path, std::uint64_t size);
  std::uint64_t size_of(const git_diff_file& file);
  void tell_submodules(git_repository* repository, const std::string& prefix, int depth);
  bool is_below(const std::string& path) const {
    return path_.empty() || (path + "/").starts_with(path_ + "/") || (path_ + "/").starts_with(path + "/");
  }

  std::string directory_;
  std::size_t diff_left_;
  BerthGitSink sink_;
  void* context_;
  Repository repository_;
  std::string path_;  // of the directory within the work tree
  Object tree_;       // of HEAD; nothing before the first commit
  bool dirty_ = false;
  bool changed_ = false;
  bool cut_ = false;
  bool unreadable_ = false;  // the commit's tree
  bool filters_ = false;  // attributes may name a program that changes content
  std::size_t untracked_ = 0;
};

// What git was told not to look at is looked at, in this process alone. What is not checked out stays away.
void look_at_everything(git_repository* repository, git_index* index) {
  const std::string top = git_repository_workdir(repository);
  for (std::size_t i = 0; i < git_index_entrycount(index); ++i) {
    auto* entry = const_cast<git_index_entry*>(git_index_get_byindex(index, i));
    entry->flags = static_cast<std::uint16_t>(entry->flags & ~GIT_INDEX_ENTRY_VALID);
    struct stat info {};
    if ((entry->flags_extended & GIT_INDEX_ENTRY_SKIP_WORKTREE) != 0 && ::lstat((top + entry->path).c_str(), &info) == 0)
      entry->flags_extended = static_cast<std::uint16_t>(entry->flags_extended & ~GIT_INDEX_ENTRY_SKIP_WORKTREE);
  }
}

bool is_not_checked_out(git_index* index, const char* path) {
  const auto* entry = index != nullptr ? git_index_get_bypath(index, path, 0) : nullptr;
  return entry != nullptr && (entry->flags_extended & GIT_INDEX_ENTRY_SKIP_WORKTREE) != 0;
}

// An index, and when it was written: an entry as young as that may have been changed in the same tick of the clock.
struct SeenIndex {
  explicit SeenIndex(git_repository* repository) : index(make<Index>(git_repository_index, repository)) {
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
  std::int32_t seconds = std::numeric_limits<std::int32_t>::min();
  std::uint32_t rest = 0;
};

bool exists(const std::string& path) {
  struct stat info {};
  return ::lstat(path.c_str(), &info) == 0;
}

constexpr std::size_t kMostUntracked = 1000;
constexpr std::size_t kMostCommitsToDescribe = 2000;
constexpr int kDeepestSubmodule = 8;

void Teller::tell_all() {
  if (!open()) return;
  tell_head();
  tell_changes();
  tell_submodules(repository_.get(), "", 0);
  tell_tracked();
}

bool Teller::open() {
  git_repository* opened = nullptr;
  const int result = git_repository_open_ext(&opened, directory_.c_str(), 0, nullptr);
  repository_.reset(opened);
  if (result != 0) {
    tell("closed", last_error());
    return false;
  }
  const char* top = git_repository_workdir(opened);
  const auto inside = directory_ + "/";
  if (git_repository_is_bare(opened) != 0 || top == nullptr || !inside.starts_with(top)) {
    tell("closed", "it is bare or has its work tree elsewhere");
    return false;
  }
  path_ = inside.substr(std::strlen(top));
  if (!path_.empty()) path_.pop_back();
  if (!path_.empty()) tell("path", path_);
  if (git_repository_is_shallow(opened) == 1) remark("the clone is shallow: tags further back are not seen");
  return true;
}

void Teller::tell_head() {
  std::string branch;
  // Also before the first commit, when HEAD names a branch that is not there yet.
  if (const auto head = make<Reference>(git_reference_lookup, repository_.get(), "HEAD");
      head && git_reference_type(head.get()) == GIT_REFERENCE_SYMBOLIC) {
    branch = git_reference_symbolic_target(head.get());
    if (branch.starts_with("refs/heads/")) branch.erase(0, std::strlen("refs/heads/"));
    tell("branch", branch);
  }
  tell_remote(branch);
  git_oid commit;
  const int result = git_reference_name_to_id(&commit, repository_.get(), "HEAD");
  if (result == GIT_ENOTFOUND) {
    tell("no_commit");
    return remark("the repository has no commits yet");
  }
  if (result != 0) {
    tell("no_tree", "HEAD cannot be read: " + last_error());
    return cannot("read HEAD");
  }
  tell("commit", hex(commit));
  tree_ = make<Object>(git_revparse_single, repository_.get(), "HEAD^{tree}");
  if (!tree_) {
    unreadable_ = true;
    tell("no_tree", "the commit cannot be read: " + last_error());
    return cannot("read the commit " + hex(commit));
  }
  tell_description(commit);
}

// As `git ls-remote --get-url` chooses: the branch's own remote, else origin, else the only one.
void Teller::tell_remote(const std::string& branch) {
  std::string name = "origin";
  if (const auto config = make<Config>(git_repository_config_snapshot, repository_.get())) {
    const char* configured = nullptr;
    if (git_config_get_string(&configured, config.get(), ("branch." + branch + ".remote").c_str()) == 0)
      name = configured;
  }
  auto remote = make<Remote>(git_remote_lookup, repository_.get(), name.c_str());
  git_strarray names{};
  if (!remote && git_remote_list(&names, repository_.get()) == 0) {
    if (names.count == 1) remote = make<Remote>(git_remote_lookup, repository_.get(), names.strings[0]);
    git_strarray_dispose(&names);
  }
  if (remote && git_remote_url(remote.get()) != nullptr) tell("repository", git_remote_url(remote.get()));
}

struct Tags {
  git_repository* repository;
  std::map<std::string, std::string> by_commit;
};

int add_tag(const char* name, git_oid* id, void* payload) {
  auto& tags = *static_cast<Tags*>(payload);
  const auto object = make<Object>(git_object_lookup, tags.repository, id, GIT_OBJECT_ANY);
  const auto commit = object ? make<Object>(git_object_peel, object.get(), GIT_OBJECT_COMMIT) : Object();
  if (commit) tags.by_commit[hex(*git_object_id(commit.get()))] = name + std::strlen("refs/tags/");
  return 0;
}

// libgit2's own describe may walk the whole history; this looks at the latest commits only.
void Teller::tell_description(const git_oid& head) {
  auto* repository = repository_.get();
  Buffer brief;
  const auto object = make<Object>(git_object_lookup, repository, &head, GIT_OBJECT_COMMIT);
  if (!object || git_object_short_id(&brief, object.get()) != 0) return;
  Tags tags{repository, {}};
  git_tag_foreach(repository, add_tag, &tags);
  const auto walk = make<Walk>(git_revwalk_new, repository);
  if (tags.by_commit.empty() || !walk || git_revwalk_push(walk.get(), &head) != 0)
    return tell("describe", brief.ptr);
  git_revwalk_sorting(walk.get(), GIT_SORT_TIME);
  git_oid id;
  for (std::size_t i = 0; i < kMostCommitsToDescribe && git_revwalk_next(&id, walk.get()) == 0; ++i) {
    const auto tag = tags.by_commit.find(hex(id));
    if (tag == tags.by_commit.end()) continue;
    std::size_t ahead = 0;
    std::size_t behind = 0;
    if (git_oid_equal(&id, &head) != 0) return tell("describe", tag->second);
    if (git_graph_ahead_behind(&ahead, &behind, repository, &head, &id) != 0) break;
    return tell("describe", tag->second + "-" + std::to_string(ahead) + "-g" + brief.ptr);
  }
  tell("describe", brief.ptr);
}

void Teller::tell_changes() {
  if (unreadable_) return;
  tell_changes_of(repository_.get(), reinterpret_cast<git_tree*>(tree_.get()), "", path_);
  if (dirty_) tell("dirty");
  if (changed_) tell("changed");
}

void Teller::tell_changes_of(git_repository* repository, git_tree* head, const std::string& prefix,
                             const std::string& below) {
  const auto index = make<Index>(git_repository_index, repository);
  if (!index) {
    tell("no_index", last_error());
    return cannot("read the index" + (prefix.empty() ? std::string() : " of the submodule " + prefix));
  }
  look_at_everything(repository, index.get());
  git_diff_options options;
  git_diff_options_init(&options, GIT_DIFF_OPTIONS_VERSION);
  options.flags = GIT_DIFF_INCLUDE_UNTRACKED | GIT_DIFF_INCLUDE_TYPECHANGE | GIT_DIFF_SHOW_BINARY |
                  GIT_DIFF_DISABLE_PATHSPEC_MATCH;
  std::string subtree = below;
  char* pathspec = subtree.data();
  if (!subtree.empty()) options.pathspec = {&pathspec, 1};
  const auto old_prefix = "a/" + prefix;
  const auto new_prefix = "b/" + prefix;
  options.old_prefix = old_prefix.c_str();
  options.new_prefix = new_prefix.c_str();
  const auto diff = make<Diff>(git_diff_tree_to_workdir_with_index, repository, head, &options);
  if (!diff) return cannot("compare the working tree with HEAD");
  const auto changes = git_diff_num_deltas(diff.get());
  for (std::size_t i = 0; i < changes; ++i) {
    const auto* delta = git_diff_get_delta(diff.get(), i);
    if (delta->status == GIT_DELTA_DELETED && is_not_checked_out(index.get(), delta->old_file.path) &&
        !exists(git_repository_workdir(repository) + std::string(delta->old_file.path)))
      continue;
    tell_change(diff.get(), i, prefix);
  }
}

void Teller::tell_change(git_diff* diff, std::size_t number, const std::string& prefix) {
  const auto* delta = git_diff_get_delta(diff, number);
  if (delta->status == GIT_DELTA_UNMODIFIED || delta->status == GIT_DELTA_IGNORED) return;
  dirty_ = true;
  const auto path = prefix + (delta->new_file.path != nullptr ? delta->new_file.path : delta->old_file.path);
  if (delta->status == GIT_DELTA_UNTRACKED) {
    if (++untracked_ <= kMostUntracked) tell("untracked", path);
    return;
  }
  changed_ = true;
  tell("diffed", path);
  // A submodule with changes at the commit that is recorded: its own diff tells them.
  const bool is_submodule = delta->new_file.mode == GIT_FILEMODE_COMMIT && delta->old_file.mode == GIT_FILEMODE_COMMIT;
  if (is_submodule && git_oid_equal(&delta->old_file.id, &delta->new_file.id) != 0) return;
  const auto size = std::max(size_of(delta->old_file), size_of(delta->new_file));
  if (delta->status == GIT_DELTA_CONFLICTED || delta->status == GIT_DELTA_UNREADABLE || size > diff_left_)
    return leave_out(path.c_str(), size);
  const auto patch = make<Patch>(git_patch_from_diff, diff, number);
  Buffer text;
  if (!patch || git_patch_to_buf(&text, patch.get()) != 0) {
    cannot("tell the changes of " + path);
    return leave_out(path.c_str(), size);
  }
  if (text.size > diff_left_) return leave_out(path.c_str(), size);
  diff_left_ -= text.size;
  tell("diff", {text.ptr, text.size});
}

// `git apply` ignores lines between patches.
void Teller::leave_out(const char* path, std::uint64_t size) {
  cut_ = true;
  std::string name = path;
  std::replace_if(
      name.begin(), name.end(), [](unsigned char c) { return c < 0x20 || c == 0x7F; }, '?');
  tell("diff", "# left out: " + name + " (" + std::to_string(size) + " bytes)\n");
}

// Of a stored object without unpacking it; of a working file as the diff saw it.
std::uint64_t Teller::size_of(const git_diff_file& file) {
  std::size_t size = 0;
  git_object_t type{};
  if (file.mode == GIT_FILEMODE_COMMIT || git_oid_is_zero(&file.id) != 0) return file.size;
  const auto odb = make<Odb>(git_repository_odb, repository_.get());
  if (odb && git_odb_read_header(&size, &type, odb.get(), &file.id) == 0) return size;
  return file.size;
}

void Teller::tell_submodules(git_repository* repository, const std::string& prefix, int depth) {
  const auto index = make<Index>(git_repository_index, repository);
  const char* top = git_repository_workdir(repository);
  if (!index || top == nullptr || depth > kDeepestSubmodule) return;
  const auto count = git_index_entrycount(index.get());
  for (std::size_t i = 0; i < count; ++i) {
    const auto* entry = git_index_get_byindex(index.get(), i);
    if (entry->mode != GIT_FILEMODE_COMMIT) continue;
    const auto path = prefix + entry->path;
    const auto inner = make<Repository>(git_repository_open, (std::string(top) + entry->path).c_str());
    git_oid commit = entry->id;
    const bool checked_out = inner && git_reference_name_to_id(&commit, inner.get(), "HEAD") == 0;
    tell("submodule", path + '\0' + hex(checked_out ? commit : entry->id));
    if (!checked_out) {
      remark("submodule " + path + " is not checked out");
      continue;
    }
    const auto head = make<Object>(git_revparse_single, inner.get(), "HEAD^{tree}");
    if (head && is_below(path)) {
      const auto before = std::exchange(changed_, false);
      const bool inside = path_.size() > path.size();
      tell_changes_of(inner.get(), reinterpret_cast<git_tree*>(head.get()), path + "/",
                      inside ? path_.substr(path.size() + 1) : "");
      if (changed_) tell("changed");
      changed_ = changed_ || before;
    }
    tell_submodules(inner.get(), path + "/", depth + 1);
  }
}

// --- what the commit holds

bool names_programs(git_repository* repository) {
  const auto config = make<Config>(git_repository_config_snapshot, repository);
  const auto all = config ? make<ConfigIterator>(git_config_iterator_glob_new, config.get(), "^filter\\.")
                          : ConfigIterator();
  git_config_entry* entry = nullptr;
  return all && git_config_next(&entry, all.get()) == 0;
}

// Looking up the attributes of every file takes longer than all else.
bool has_attributes(git_repository* repository, git_index* index) {
  const std::string top = git_repository_workdir(repository);
  const std::string common = git_repository_commondir(repository);
  if (index == nullptr || exists(top + ".gitattributes") || exists(common + "info/attributes")) return true;
  const char* home = std::getenv("HOME");
  const char* configuration = std::getenv("XDG_CONFIG_HOME");
  const auto own = configuration != nullptr && *configuration != '\0' ? std::string(configuration)
                   : home != nullptr                                 ? std::string(home) + "/.config"
                                                                     : std::string();
  if (exists(own + "/git/attributes") || exists("/etc/gitattributes")) return true;
  const auto config = make<Config>(git_repository_config_snapshot, repository);
  const char* file = nullptr;
  if (!config || git_config_get_string(&file, config.get(), "core.attributesfile") == 0) return true;
  for (std::size_t i = 0; i < git_index_entrycount(index); ++i)
    if (std::string_view(git_index_get_byindex(index, i)->path).ends_with("/.gitattributes")) return true;
  return false;
}

void Teller::tell_tracked() {
  if (cut_) tell("diff_cut");
  if (untracked_ > kMostUntracked)
    remark(std::to_string(untracked_ - kMostUntracked) + " more untracked files are not listed");
  if (!tree_) return;
  auto* head = reinterpret_cast<git_tree*>(tree_.get());
  const SeenIndex index(repository_.get());
  filters_ = names_programs(repository_.get()) && has_attributes(repository_.get(), index.index.get());
  bool all = true;
  if (path_.empty()) {
    all = tell_tree(repository_.get(), index, head, "", "", 0);
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
      all = tell_tree(repository_.get(), index, tree.get(), path_ + "/", "", 0);
  }
  if (all)
    tell("tracked_all");
  else
    tell("no_tree", "parts of the commit cannot be read: " + last_error());
}

constexpr int kDeepestTree = 400;

bool Teller::tell_tree(git_repository* repository, const SeenIndex& index, const git_tree* tree,
                       const std::string& in_repository, const std::string& prefix, int depth) {
  if (depth > kDeepestTree) return false;
  bool all = true;
  const auto count = git_tree_entrycount(tree);
  for (std::size_t i = 0; i < count; ++i) {
    const auto* entry = git_tree_entry_byindex(tree, i);
    const std::string name = git_tree_entry_name(entry);
    switch (git_tree_entry_type(entry)) {
      case GIT_OBJECT_TREE: {
        const auto below = make<Tree>(git_tree_lookup, repository, git_tree_entry_id(entry));
        all = below && tell_tree(repository, index, below.get(), in_repository + name + "/", prefix + name + "/", depth + 1) && all;
        break;
      }
      case GIT_OBJECT_COMMIT:
        all = tell_submodule_tree(repository, entry, in_repository + name, prefix + name, depth) && all;
        break;
      default:
        tell_file(repository, index, entry, in_repository + name, prefix + name);
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
  return tell_tree(inner.get(), SeenIndex(inner.get()), reinterpret_cast<git_tree*>(tree.get()), "", path + "/", depth + 1);
}

void Teller::tell_file(git_repository* repository, const SeenIndex& index, const git_tree_entry* entry,
                       const std::string& in_repository, const std::string& path) {
  BerthGitTracked tracked;
  tracked.mode = static_cast<std::uint32_t>(git_tree_entry_filemode(entry));
  git_oid_fmt(tracked.id, git_tree_entry_id(entry));
  const auto* seen = index.find(in_repository);
  if (seen != nullptr && (seen->flags_extended & GIT_INDEX_ENTRY_SKIP_WORKTREE) != 0) tracked.flags |= kBerthGitNotCheckedOut;
  if (seen != nullptr && git_oid_equal(&seen->id, git_tree_entry_id(entry)) != 0 && !index.is_older_than(*seen)) {
    tracked.flags |= kBerthGitSeen;
    tracked.size = seen->file_size;
    tracked.inode = seen->ino;
    tracked.modified = seen->mtime.seconds;
    tracked.modified_rest = seen->mtime.nanoseconds;
    tracked.changed = seen->ctime.seconds;
    tracked.changed_rest = seen->ctime.nanoseconds;
  }
  const char* filter = nullptr;
  if (filters_ && git_attr_get(&filter, repository, 0, in_repository.c_str(), "filter") == 0 &&
      git_attr_value(filter) == GIT_ATTR_VALUE_STRING)
    tracked.flags |= kBerthGitFiltered;
  std::string bytes(reinterpret_cast<const char*>(&tracked), sizeof tracked);
  tell("tracked", bytes += path);
}

// --- the ids of contents

class Hasher {
 public:
  Hasher(BerthGitSink sink, void* context) : sink_(sink), context_(context) {}

  void tell(std::size_t number, const BerthGitContent& content) {
    git_oid raw;
    if (content.target != nullptr) {
      if (git_odb_hash(&raw, content.target, std::strlen(content.target), GIT_OBJECT_BLOB) != 0) return;
      return tell(number, raw, raw);
    }
    if (git_odb_hashfile(&raw, content.path, GIT_OBJECT_BLOB) != 0) return;
    git_oid stored = raw;
    open_above(content.path);
    if (repository_ && git_repository_hashfile(&stored, repository_.get(), content.path, GIT_OBJECT_BLOB, nullptr) != 0)
      stored = raw;
    tell(number, raw, stored);
  }

 private:
  void tell(std::size_t number, const git_oid& raw, const git_oid& stored) {
    const auto text = std::to_string(number) + '\0' + hex(raw) + '\0' + hex(stored);
    sink_(context_, "hash", text.data(), text.size());
  }
  void open_above(const std::string& path) {
    auto directory = path.substr(0, path.rfind('/'));
    if (directory == directory_) return;
    directory_ = std::move(directory);
    repository_ = make<Repository>(git_repository_open_ext, directory_.c_str(), 0U, nullptr);
  }

  BerthGitSink sink_;
  void* context_;
  std::string directory_;
  Repository repository_;
};

}  // namespace

void berth_git_provenance_2(const char* directory, std::size_t diff_limit, BerthGitSink sink, void* context) {
  try {
    git_libgit2_init();
    // Objects are read once; their digests were checked when git stored them.
    git_libgit2_opts(GIT_OPT_ENABLE_STRICT_HASH_VERIFICATION, 0);
    Teller(directory, diff_limit, sink, context).tell_all();
    git_libgit2_shutdown();
  } catch (const std::exception& error) {
    const std::string text = std::string("git was not asked: ") + error.what();
    sink(context, "remark", text.data(), text.size());
  }
}

void berth_git_hash_2(const BerthGitContent* contents, std::size_t count, BerthGitSink sink, void* context) {
  try {
    git_libgit2_init();
    {
      Hasher hasher(sink, context);
      for (std::size_t i = 0; i < count; ++i) hasher.tell(i, contents[i]);
    }
    git_libgit2_shutdown();
  } catch (const std::exception&) {  // what is not told is not known
  }
}
