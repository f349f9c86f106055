#include "runtime/git/provenance.hpp"

#include <sys/stat.h>

#include <filesystem>

#include "runtime/base/error.hpp"
#include "runtime/git/module.hpp"
#include "runtime/os/file.hpp"
#include "runtime/os/module.hpp"

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
// libgit2 1.5 forgets memory in every regular expression that does not match.
extern "C" const char* __lsan_default_suppressions() {
  return "leak:libpcre2\nleak:libgit2\n";
}
extern "C" const char* __lsan_default_options() {
  return "print_suppressions=0";
}
#endif
#endif

namespace berth::git {
namespace {

// Whether git would look for a repository in `directory` or above it: up to the root or another file system.
bool in_work_tree(std::string directory) {
  struct stat start {};
  if (::stat(directory.c_str(), &start) != 0) return false;
  for (;;) {
    if (os::exists(os::join(directory, ".git"))) return true;
    if (directory == "/") return false;
    directory = os::parent_of(directory);
    struct stat info {};
    if (::stat(directory.c_str(), &info) != 0 || info.st_dev != start.st_dev) return false;
  }
}

void take(void* context, const char* key, const char* bytes, std::size_t length) {
  auto& found = *static_cast<Provenance*>(context);
  const std::string_view name = key;
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
}

}  // namespace

#if defined(__clang__)
// UBSan compares the type of a function pointer by address, and the module has type information of its own.
__attribute__((no_sanitize("function")))
#endif
std::optional<Provenance>
provenance(const std::string& directory, std::size_t diff_limit) {
  std::error_code failure;
  const auto real = std::filesystem::canonical(directory, failure).string();
  if (failure || !in_work_tree(real)) return std::nullopt;
  Provenance found;
  try {
    const auto ask = reinterpret_cast<BerthGitProvenance>(os::load_module("berth_git", "berth_git_provenance_1"));
    ask(real.c_str(), diff_limit, take, &found);
  } catch (const Error& error) {
    found.remarks.push_back("git was not asked: " + error.message());
  }
  return found;
}

}  // namespace berth::git
