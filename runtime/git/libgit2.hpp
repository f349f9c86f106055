#pragma once

// What libgit2 gives, held and let go; for the sources of libberth_git alone.

#include <git2.h>

#include <memory>
#include <string>

namespace berth::git {

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

inline std::string last_error() {
  const auto* error = git_error_last();
  return error != nullptr && error->message != nullptr ? error->message : "unknown reason";
}

inline std::string hex(const git_oid& id) {
  std::string text(GIT_OID_HEXSZ, '0');
  git_oid_fmt(text.data(), &id);
  return text;
}

}  // namespace berth::git
