#pragma once

// What libberth_git tells of a work tree (module.hpp).

#include <sys/stat.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "runtime/git/libgit2.hpp"
#include "runtime/git/module.hpp"

namespace berth::git {

struct SeenIndex;

// The facts of one work tree, told to the sink one after the other.
class Teller {
 public:
  Teller(const char* directory, std::size_t diff_limit, BerthGitSink sink, BerthGitAsk ask, void* context)
      : directory_(directory), diff_left_(diff_limit), sink_(sink), ask_(ask), context_(context) {}

  void tell_all();

 private:
  void tell(const char* key, std::string_view value = {}) { sink_(context_, key, value.data(), value.size()); }
  void remark(const std::string& text) { tell("remark", text); }
  void cannot(const std::string& what) { remark("cannot " + what + ": " + last_error()); }

  // --- teller.cpp
  bool open();
  void tell_head();
  void tell_remote(const std::string& branch);
  void tell_description(const git_oid& head);
  void tell_changes(const BerthGitPaths* paths);
  void tell_changes_of(git_repository* repository, git_tree* head, const std::string& prefix, const std::string& below,
                       const BerthGitPaths* paths = nullptr);
  void tell_change(git_diff* diff, std::size_t number, const std::string& prefix);
  void leave_out(const char* path, std::uint64_t size);
  std::uint64_t size_of(const git_diff_file& file);
  void tell_untold();
  void tell_submodules(git_repository* repository, const std::string& prefix, int depth);
  bool is_below(const std::string& path) const {
    return path_.empty() || (path + "/").starts_with(path_ + "/") || (path_ + "/").starts_with(path + "/");
  }

  // --- tracked.cpp: what the commit holds
  void tell_tracked();
  // The same by the index alone, which has to hold what the commit does; false, and nothing told, where it does not.
  bool tell_indexed();
  bool tell_tree(git_repository* repository, const SeenIndex& index, const git_tree* tree,
                 const std::string& in_repository, const std::string& prefix, int depth, bool filtered);
  bool is_filtered_above(const SeenIndex& index) const;
  bool tell_submodule_tree(git_repository* repository, const git_tree_entry* entry, const std::string& in_repository,
                           const std::string& path, int depth);
  void tell_file(git_repository* repository, const SeenIndex& index, const git_tree_entry* entry,
                 const std::string& in_repository, const std::string& path, bool filtered);

  static constexpr std::size_t kMostUntracked = 1000;

  std::string directory_;
  std::size_t diff_left_;
  BerthGitSink sink_;
  BerthGitAsk ask_;
  void* context_;
  Repository repository_;
  std::string path_;  // of the directory within the work tree
  Object tree_;       // of HEAD; nothing before the first commit
  bool dirty_ = false;
  bool changed_ = false;
  bool cut_ = false;
  bool unreadable_ = false;  // the commit's tree
  std::size_t untracked_ = 0;
};

inline bool exists(const std::string& path) {
  struct stat info {};
  return ::lstat(path.c_str(), &info) == 0;
}

}  // namespace berth::git
