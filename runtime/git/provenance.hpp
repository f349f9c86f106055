#pragma once

// Where a directory's code comes from, as git knows it. Only reads, never runs git, never fails: what git
// cannot tell is a remark. libgit2 is in a module of its own, loaded only when the directory lies in a work
// tree.

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace berth::git {

struct Submodule {
  std::string path;    // from the top of the work tree
  std::string commit;  // the one checked out; the one recorded where none is
};

struct Provenance {
  std::string repository;  // the remote's URL without credentials; "" without a remote
  std::string branch;      // "" when detached
  std::string commit;      // "" before the first commit
  std::string describe;    // the nearest tag, as `git describe --tags --always`
  std::string path;        // of the directory, from the top of the work tree; "" at the top
  // Of the directory's subtree: anything staged, changed or untracked (what is ignored does not count).
  bool dirty = false;
  // HEAD → working tree, staged changes included, limited to the subtree; `git apply` takes it, binary files
  // too. Untracked files are only listed: the snapshot has them, unless the user ignored them on purpose.
  std::string diff;
  bool diff_cut = false;               // something did not fit; a line "# left out: …" says what
  std::vector<std::string> untracked;  // as `git status` names them: a directory ends in '/'
  std::vector<Submodule> submodules;   // nested ones included
  std::vector<std::string> remarks;    // what could not be told, and why
};

// Nothing where the directory is in no work tree. GIT_DIR and the like are ignored. Blocks: reads every
// changed file and the status of every other; 10,000 unchanged ones cost about 20 ms.
std::optional<Provenance> provenance(const std::string& directory, std::size_t diff_limit = 16U << 20);

// Without what could be a secret: the password, in web addresses also the user and the query. Takes every
// form of address that git takes, and leaves a local path as it is.
std::string strip_credentials(std::string_view url);

}  // namespace berth::git
