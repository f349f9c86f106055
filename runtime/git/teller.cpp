#include "runtime/git/teller.hpp"

#include <algorithm>
#include <cstring>
#include <map>
#include <utility>

namespace berth::git {
namespace {

constexpr std::size_t kMostCommitsToDescribe = 2000;
constexpr int kDeepestSubmodule = 8;

// What git was told not to look at is looked at, in this process alone. What is not checked out stays away.
void look_at_everything(git_repository* repository, git_index* index) {
  const std::string top = git_repository_workdir(repository);
  for (std::size_t i = 0; i < git_index_entrycount(index); ++i) {
    auto* entry = const_cast<git_index_entry*>(git_index_get_byindex(index, i));
    entry->flags = static_cast<std::uint16_t>(entry->flags & ~GIT_INDEX_ENTRY_VALID);
    struct stat info {};
    if ((entry->flags_extended & GIT_INDEX_ENTRY_SKIP_WORKTREE) != 0 &&
        ::lstat((top + entry->path).c_str(), &info) == 0)
      entry->flags_extended = static_cast<std::uint16_t>(entry->flags_extended & ~GIT_INDEX_ENTRY_SKIP_WORKTREE);
  }
}

bool is_not_checked_out(git_index* index, const char* path) {
  const auto* entry = index != nullptr ? git_index_get_bypath(index, path, 0) : nullptr;
  return entry != nullptr && (entry->flags_extended & GIT_INDEX_ENTRY_SKIP_WORKTREE) != 0;
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

}  // namespace

void Teller::tell_all() {
  if (!open()) return;
  tell_head();
  const bool indexed = ask_ != nullptr && tell_indexed();
  const auto* paths = indexed ? ask_(context_) : nullptr;
  if (paths == nullptr || paths->count > 0) tell_changes(paths);
  tell_submodules(repository_.get(), "", 0);
  if (indexed)
    tell_untold();
  else
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

// libgit2's own describe may walk the whole history; this looks at the latest commits only.
void Teller::tell_description(const git_oid& head) {
  auto* repository = repository_.get();
  Buffer brief;
  const auto object = make<Object>(git_object_lookup, repository, &head, GIT_OBJECT_COMMIT);
  if (!object || git_object_short_id(&brief, object.get()) != 0) return;
  Tags tags{repository, {}};
  git_tag_foreach(repository, add_tag, &tags);
  const auto walk = make<Walk>(git_revwalk_new, repository);
  if (tags.by_commit.empty() || !walk || git_revwalk_push(walk.get(), &head) != 0) return tell("describe", brief.ptr);
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

void Teller::tell_changes(const BerthGitPaths* paths) {
  if (unreadable_) return;
  tell_changes_of(repository_.get(), reinterpret_cast<git_tree*>(tree_.get()), "", path_, paths);
  if (dirty_) tell("dirty");
  if (changed_) tell("changed");
}

void Teller::tell_changes_of(git_repository* repository, git_tree* head, const std::string& prefix,
                             const std::string& below, const BerthGitPaths* paths) {
  const auto index = make<Index>(git_repository_index, repository);
  if (!index) {
    tell("no_index", last_error());
    return cannot("read the index" + (prefix.empty() ? std::string() : " of the submodule " + prefix));
  }
  look_at_everything(repository, index.get());
  git_diff_options options;
  git_diff_options_init(&options, GIT_DIFF_OPTIONS_VERSION);
  options.flags =
      GIT_DIFF_INCLUDE_UNTRACKED | GIT_DIFF_INCLUDE_TYPECHANGE | GIT_DIFF_SHOW_BINARY | GIT_DIFF_DISABLE_PATHSPEC_MATCH;
  std::string subtree = below;
  char* pathspec = subtree.data();
  if (!subtree.empty()) options.pathspec = {&pathspec, 1};
  if (paths != nullptr) options.pathspec = {const_cast<char**>(paths->paths), paths->count};
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

}  // namespace berth::git
