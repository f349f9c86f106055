#pragma once

// What libberth_git.so offers: two functions over a C interface, so that nothing of libgit2 or of the C++
// library crosses it.

#include <cstddef>
#include <cstdint>

extern "C" {

// A file that the commit holds, and what the index saw of it when it last looked at its content.
struct BerthGitTracked {
  std::uint32_t mode = 0;
  std::uint32_t flags = 0;
  // Of the index, where kBerthGitSeen is set; cut to 32 bits as it keeps them.
  std::uint32_t size = 0;
  std::uint32_t inode = 0;
  std::int32_t modified = 0;  // seconds, and their rest
  std::uint32_t modified_rest = 0;
  std::int32_t changed = 0;
  std::uint32_t changed_rest = 0;
  char id[40] = {};  // hexadecimal, of the content that the commit holds
};
inline constexpr std::uint32_t kBerthGitSeen = 1;           // the index holds the same content, seen as told above
inline constexpr std::uint32_t kBerthGitNotCheckedOut = 2;  // git was told not to check it out
inline constexpr std::uint32_t kBerthGitFiltered = 4;       // a program of the user's turns it into what is stored

// Takes one fact: keys "repository", "branch", "commit", "describe", "path", "dirty", "changed" (no value: not by
// untracked files alone), "diff" (pieces), "diffed" (a path that the diff tells or names), "diff_cut", "untracked",
// "submodule" (path, NUL, commit), "tracked" (BerthGitTracked, then the path from the directory), "tracked_all" (no
// value: there are no others), "no_index" (why), "closed" (why the repository could not be opened), "no_tree" (why the
// commit's content is not known), "no_commit" (no value), "hash" (number, NUL, id as it is, NUL, id as git would store
// it), "remark". The bytes are valid during the call only.
using BerthGitSink = void (*)(void* context, const char* key, const char* bytes, std::size_t length);

// Where the index holds just what the commit does, and saw each file after it was last written: which files (paths from
// the top of the work tree) are to be compared with it, once all has been told of "tracked". Null: all.
struct BerthGitPaths {
  const char* const* paths;
  std::size_t count;
};
using BerthGitAsk = const BerthGitPaths* (*)(void* context);

// Tells everything about the work tree that holds `directory` (absolute, no symlinks). `ask` may be null. Never throws.
using BerthGitProvenance = void (*)(const char* directory, std::size_t diff_limit, BerthGitSink sink, BerthGitAsk ask,
                                    void* context);

// The ids of contents: of files (absolute paths) or, where `target` is not null, of symbolic links. What cannot be read
// is not told.
struct BerthGitContent {
  const char* path;
  const char* target;
};
using BerthGitHash = void (*)(const BerthGitContent* contents, std::size_t count, BerthGitSink sink, void* context);

// The names carry the version of this interface.
[[gnu::visibility("default")]] void berth_git_provenance_3(const char* directory, std::size_t diff_limit,
                                                           BerthGitSink sink, BerthGitAsk ask, void* context);
[[gnu::visibility("default")]] void berth_git_hash_2(const BerthGitContent* contents, std::size_t count,
                                                     BerthGitSink sink, void* context);
}
