#pragma once

// What libberth_git.so offers: one function over a C interface, so that nothing of libgit2 or of the C++
// library crosses it.

#include <cstddef>

extern "C" {

// Takes one fact: keys "repository", "branch", "commit", "describe", "path", "dirty" (no value), "diff"
// (pieces), "diff_cut", "untracked", "submodule" (path, NUL, commit), "remark". The bytes are valid during
// the call only.
using BerthGitSink = void (*)(void* context, const char* key, const char* bytes, std::size_t length);

// Tells everything about the work tree that holds `directory` (absolute, no symlinks). Never throws.
using BerthGitProvenance = void (*)(const char* directory, std::size_t diff_limit, BerthGitSink sink,
                                    void* context);

// The name carries the version of this interface.
[[gnu::visibility("default")]] void berth_git_provenance_1(const char* directory, std::size_t diff_limit,
                                                           BerthGitSink sink, void* context);
}
