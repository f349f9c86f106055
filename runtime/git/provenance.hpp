#pragma once

// Where a directory's code comes from, as git knows it, and whether what is sent of it is what the commit holds. Only
// reads, never fails: what git cannot tell is a remark. libgit2 is in a module of its own, loaded only when the
// directory lies in a work tree; what it cannot read git itself is asked for, where it is there (program.hpp).

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace berth::git {

struct Submodule {
  std::string path;    // from the top of the work tree
  std::string commit;  // the one checked out; the one recorded where none is
};

// A file that the commit holds.
struct Tracked {
  std::uint32_t mode = 0;  // as git has it: 0100644, 0100755, 0120000
  std::string id;          // of its content, hexadecimal
  bool not_checked_out = false;
  bool filtered = false;  // a program of the user's turns it into what is stored
  // What the index saw of the file when it held just this content; cut to 32 bits.
  struct Seen {
    std::uint32_t size = 0;
    std::uint32_t inode = 0;
    std::int32_t modified = 0;  // seconds, and their rest
    std::uint32_t modified_rest = 0;
    std::int32_t changed = 0;
    std::uint32_t changed_rest = 0;
    friend bool operator==(const Seen&, const Seen&) = default;
  };
  std::optional<Seen> seen;
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
  bool no_commit = false;              // there is none yet
  // Why it is not known whether the code is what the commit holds; "" where it is known, and where `dirty` says so.
  std::string unknown;
  bool changed = false;             // `dirty` by more than untracked files
  std::vector<std::string> diffed;  // what the diff tells or names
  std::size_t not_checked_out = 0;  // files of the commit that git was told not to check out
  std::size_t not_sent = 0;         // files of the commit that are there but were left out of what is sent
  // What the commit holds of the directory, by path from there; nothing where that cannot be read.
  std::optional<std::unordered_map<std::string, Tracked>> tracked;
  bool index_read = true;  // false: what is not checked out is not known
};

// A file that is sent, as it was when it was read.
struct Sent {
  std::string path;        // from the directory
  std::uint32_t mode = 0;  // 0100644, 0100755, 0120000
  std::string target;      // of a symbolic link
  std::uint64_t size = 0;
  std::uint64_t inode = 0;    // 0: not known
  std::int64_t modified = 0;  // nanoseconds
  std::int64_t changed = 0;
};

// By content, whatever git was told to look away from: sets `dirty` and `unknown` to what is true of all that is sent,
// and adds what the diff and the list of untracked files lack. Reads only files that git has not seen as they are now.
void compare(Provenance& found, const std::string& directory, const std::vector<Sent>& sent);

// Gives what is sent, once that is known; it may be waited for.
using SentFiles = std::function<const std::vector<Sent>&()>;

// Nothing where the directory is in no work tree. With `sent`, and where git's index holds what the commit does, only
// files that are not as the index saw them are compared: where nothing has changed, the tree is not gone through once
// more. GIT_DIR and the like are ignored. Blocks: reads every changed file and the status of every other; 10,000
// unchanged ones cost about 20 ms.
std::optional<Provenance> provenance(const std::string& directory, std::size_t diff_limit = 16U << 20,
                                     const SentFiles& sent = {});
// The paths that are to be compared, from the directory: what is sent and not as git saw it (of what git does not
// track, the directories that have nothing else in them), and what is not sent.
std::vector<std::string> differing(const Provenance& found, const std::vector<Sent>& sent);

// Without what could be a secret: the password, in web addresses also the user and the query. Takes every
// form of address that git takes, and leaves a local path as it is.
std::string strip_credentials(std::string_view url);

}  // namespace berth::git
