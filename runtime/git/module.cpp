#include "runtime/git/module.hpp"

#include <git2.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <string_view>
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
  void tell_change(git_diff* diff, std::size_t number);
  void leave_out(const char* path, std::uint64_t size);
  std::uint64_t size_of(const git_diff_file& file);
  void tell_submodules(git_repository* repository, const std::string& prefix, int depth);

  std::string directory_;
  std::size_t diff_left_;
  BerthGitSink sink_;
  void* context_;
  Repository repository_;
  std::string path_;  // of the directory within the work tree
  Object tree_;       // of HEAD; nothing before the first commit
  bool dirty_ = false;
  bool cut_ = false;
  std::size_t untracked_ = 0;
};

constexpr std::size_t kMostUntracked = 1000;
constexpr std::size_t kMostCommitsToDescribe = 2000;
constexpr int kDeepestSubmodule = 8;

void Teller::tell_all() {
  if (!open()) return;
  tell_head();
  tell_changes();
  tell_submodules(repository_.get(), "", 0);
}

bool Teller::open() {
  git_repository* opened = nullptr;
  const int result = git_repository_open_ext(&opened, directory_.c_str(), 0, nullptr);
  repository_.reset(opened);
  if (result == GIT_EOWNER) {
    remark(
        "git was not asked: the repository belongs to another user; trust it with "
        "`git config --global --add safe.directory PATH`");
    return false;
  }
  if (result != 0) {
    cannot("read the git repository");
    return false;
  }
  const char* top = git_repository_workdir(opened);
  const auto inside = directory_ + "/";
  if (git_repository_is_bare(opened) != 0 || top == nullptr || !inside.starts_with(top)) {
    remark("git was not asked: the repository is bare or has its work tree elsewhere");
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
  if (result == GIT_ENOTFOUND) return remark("the repository has no commits yet");
  if (result != 0) return cannot("read HEAD");
  tell("commit", hex(commit));
  tree_ = make<Object>(git_revparse_single, repository_.get(), "HEAD^{tree}");
  if (!tree_) return cannot("read the commit " + hex(commit));
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
  const auto index = make<Index>(git_repository_index, repository_.get());
  if (!index) return cannot("read the index");
  git_diff_options options;
  git_diff_options_init(&options, GIT_DIFF_OPTIONS_VERSION);
  options.flags = GIT_DIFF_INCLUDE_UNTRACKED | GIT_DIFF_INCLUDE_TYPECHANGE | GIT_DIFF_SHOW_BINARY |
                  GIT_DIFF_DISABLE_PATHSPEC_MATCH;
  char* subtree = path_.data();
  if (!path_.empty()) options.pathspec = {&subtree, 1};
  auto* head = reinterpret_cast<git_tree*>(tree_.get());
  const auto diff = make<Diff>(git_diff_tree_to_workdir_with_index, repository_.get(), head, &options);
  if (!diff) return cannot("compare the working tree with HEAD");
  const auto changes = git_diff_num_deltas(diff.get());
  for (std::size_t i = 0; i < changes; ++i) tell_change(diff.get(), i);
  if (dirty_) tell("dirty");
  if (cut_) tell("diff_cut");
  if (untracked_ > kMostUntracked)
    remark(std::to_string(untracked_ - kMostUntracked) + " more untracked files are not listed");
}

void Teller::tell_change(git_diff* diff, std::size_t number) {
  const auto* delta = git_diff_get_delta(diff, number);
  if (delta->status == GIT_DELTA_UNMODIFIED || delta->status == GIT_DELTA_IGNORED) return;
  dirty_ = true;
  const char* path = delta->new_file.path != nullptr ? delta->new_file.path : delta->old_file.path;
  if (delta->status == GIT_DELTA_UNTRACKED) {
    if (++untracked_ <= kMostUntracked) tell("untracked", path);
    return;
  }
  const auto size = std::max(size_of(delta->old_file), size_of(delta->new_file));
  if (delta->status == GIT_DELTA_CONFLICTED || delta->status == GIT_DELTA_UNREADABLE || size > diff_left_)
    return leave_out(path, size);
  const auto patch = make<Patch>(git_patch_from_diff, diff, number);
  Buffer text;
  if (!patch || git_patch_to_buf(&text, patch.get()) != 0) {
    cannot("tell the changes of " + std::string(path));
    return leave_out(path, size);
  }
  if (text.size > diff_left_) return leave_out(path, size);
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
    if (checked_out)
      tell_submodules(inner.get(), path + "/", depth + 1);
    else
      remark("submodule " + path + " is not checked out");
  }
}

}  // namespace

void berth_git_provenance_1(const char* directory, std::size_t diff_limit, BerthGitSink sink, void* context) {
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
