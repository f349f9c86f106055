#include "runtime/git/provenance.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>

#include "runtime/base/error.hpp"
#include "runtime/git/module.hpp"
#include "runtime/git/program.hpp"
#include "runtime/os/file.hpp"
#include "runtime/os/identity.hpp"
#include "runtime/os/module.hpp"

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
// libgit2 1.5 forgets memory in every regular expression that does not match.
extern "C" const char* __lsan_default_suppressions() { return "leak:libpcre2\nleak:libgit2\n"; }
extern "C" const char* __lsan_default_options() { return "print_suppressions=0"; }
#endif
#endif

namespace berth::git {
namespace {

// Where git would look for a repository: in `directory` or above it, up to the root or another file system.
std::optional<std::string> work_tree_of(std::string directory) {
  struct stat start {};
  if (::stat(directory.c_str(), &start) != 0) return std::nullopt;
  for (;;) {
    if (os::exists(os::join(directory, ".git"))) return directory;
    if (directory == "/") return std::nullopt;
    directory = os::parent_of(directory);
    struct stat info {};
    if (::stat(directory.c_str(), &info) != 0 || info.st_dev != start.st_dev) return std::nullopt;
  }
}

void take_tracked(Provenance& found, const char* bytes, std::size_t length) {
  BerthGitTracked told;
  std::memcpy(&told, bytes, sizeof told);
  Tracked tracked;
  tracked.mode = told.mode;
  tracked.id.assign(told.id, sizeof told.id);
  tracked.not_checked_out = (told.flags & kBerthGitNotCheckedOut) != 0;
  tracked.filtered = (told.flags & kBerthGitFiltered) != 0;
  if ((told.flags & kBerthGitSeen) != 0)
    tracked.seen =
        Tracked::Seen{told.size, told.inode, told.modified, told.modified_rest, told.changed, told.changed_rest};
  if (!found.tracked) found.tracked.emplace();
  found.tracked->emplace(std::string(bytes + sizeof told, length - sizeof told), std::move(tracked));
}

void take(void* context, const char* key, const char* bytes, std::size_t length) {
  auto& found = *static_cast<Provenance*>(context);
  const std::string_view name = key;
  if (name == "tracked") return take_tracked(found, bytes, length);
  std::string value(bytes, length);
  if (name == "repository") found.repository = strip_credentials(value);
  if (name == "branch")
    found.branch = std::move(value);
  else if (name == "commit")
    found.commit = std::move(value);
  else if (name == "describe")
    found.describe = std::move(value);
  else if (name == "path")
    found.path = std::move(value);
  else if (name == "dirty")
    found.dirty = true;
  else if (name == "diff")
    found.diff += value;
  else if (name == "diff_cut")
    found.diff_cut = true;
  else if (name == "untracked")
    found.untracked.push_back(std::move(value));
  else if (name == "submodule")
    found.submodules.push_back({value.substr(0, value.find('\0')), value.substr(value.find('\0') + 1)});
  else if (name == "remark")
    found.remarks.push_back(std::move(value));
  else if (name == "changed")
    found.changed = true;
  else if (name == "diffed")
    found.diffed.push_back(std::move(value));
  else if (name == "no_commit")
    found.no_commit = true;
  else if (name == "no_index")
    found.index_read = false;
  else if (name == "no_tree")
    found.unknown = std::move(value);
  else if (name == "tracked_all" && !found.tracked)
    found.tracked.emplace();
}

// What libgit2 told, and what it could not.
struct Answer {
  Provenance found;
  std::optional<std::string> closed;
  const SentFiles& sent;
  // What was asked to be compared.
  std::vector<std::string> paths{};
  std::vector<const char*> names{};
  BerthGitPaths asked{};
};

void take_answer(void* context, const char* key, const char* bytes, std::size_t length) {
  auto& answer = *static_cast<Answer*>(context);
  if (std::string_view(key) == "closed") answer.closed.emplace(bytes, length);
  take(&answer.found, key, bytes, length);
}

// Too many are all: to look for each takes longer than to go through the tree.
constexpr std::size_t kMostCompared = 200;

const BerthGitPaths* paths_to_compare(void* context) noexcept {
  auto& answer = *static_cast<Answer*>(context);
  try {
    answer.paths = differing(answer.found, answer.sent());
  } catch (...) {  // of what was not scanned, nothing is told in the end
    return nullptr;
  }
  if (answer.paths.size() > kMostCompared) return nullptr;
  for (auto& path : answer.paths) {
    if (!answer.found.path.empty()) path = answer.found.path + "/" + path;
    answer.names.push_back(path.c_str());
  }
  answer.asked = {answer.names.data(), answer.names.size()};
  return &answer.asked;
}

// git refuses what belongs to somebody else, since its configuration can name programs. libgit2 has other words for it
// where no directory is trusted at all.
std::optional<std::string> foreign_owner(const std::string& top) {
  for (const auto& path : {top, os::join(top, ".git")}) {
    struct stat info {};
    if (::stat(path.c_str(), &info) == 0 && info.st_uid != ::geteuid())
      return "the repository belongs to another user (" + os::user_name(info.st_uid) + "); trust it with " +
             "`git config --global --add safe.directory " + top + "`";
  }
  return std::nullopt;
}

#if defined(__clang__)
// UBSan compares the type of a function pointer by address, and the module has type information of its own.
__attribute__((no_sanitize("function")))
#endif
void ask_library(const std::string& directory, std::size_t diff_limit, Answer& answer) {
  try {
    const auto ask = reinterpret_cast<BerthGitProvenance>(os::load_module("berth_git", "berth_git_provenance_3"));
    ask(directory.c_str(), diff_limit, take_answer, answer.sent ? paths_to_compare : nullptr, &answer);
  } catch (const Error& error) {
    answer.closed = error.message();
  }
}

}  // namespace

std::optional<Provenance> provenance(const std::string& directory, std::size_t diff_limit, const SentFiles& sent) {
  std::error_code failure;
  const auto real = std::filesystem::canonical(directory, failure).string();
  if (failure) return std::nullopt;
  const auto top = work_tree_of(real);
  if (!top) return std::nullopt;
  Answer answer{.found = {}, .closed = {}, .sent = sent};
  ask_library(real, diff_limit, answer);
  auto& found = answer.found;
  if (!answer.closed) {
    if (!found.index_read) ask_program_for_index(found, real, diff_limit);
    if (found.tracked && !found.index_read) found.unknown = "git's index cannot be read";
    return std::move(found);
  }
  const auto foreign = foreign_owner(*top);
  auto asked = ask_program(real, diff_limit);
  if (asked.found) return std::move(*asked.found);
  Provenance closed;
  const auto why = foreign ? *foreign : "the git repository cannot be read: " + *answer.closed;
  closed.unknown = why;
  closed.remarks.push_back(foreign ? "git was not asked: " + why : "cannot read the git repository: " + *answer.closed);
  if (!asked.why_not.empty() && !foreign) closed.remarks.push_back(asked.why_not);
  return closed;
}

}  // namespace berth::git
