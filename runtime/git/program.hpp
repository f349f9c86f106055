#pragma once

// Asking git itself for what libgit2 cannot read: newer formats, a split or sparse index, repositories that only git's
// configuration trusts. Git is asked such that it changes nothing and runs nothing that a repository names (hooks, file
// system monitors, filters, pagers, programs that compare), reaches no network, and is given up after some seconds.

#include <cstddef>
#include <string>

#include "runtime/git/provenance.hpp"

namespace berth::git {

struct Asked {
  std::optional<Provenance> found;
  std::string why_not;  // where nothing was found
};

// Everything about the work tree that holds `directory` (absolute, no symlinks).
Asked ask_program(const std::string& directory, std::size_t diff_limit);
// What of it the index knows: the diff, and what is not checked out. Sets `index_read` where git could read it.
void ask_program_for_index(Provenance& found, const std::string& directory, std::size_t diff_limit);
// The ids of files' contents as they are, by path from the directory; those that cannot be read are left out.
std::unordered_map<std::string, std::string> ids_by_program(const std::string& directory,
                                                            const std::vector<std::string>& paths);

}  // namespace berth::git
