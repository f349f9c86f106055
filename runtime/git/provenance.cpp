#include "runtime/git/provenance.hpp"

#include <dlfcn.h>
#include <sys/stat.h>

#include <filesystem>

#include "runtime/git/module.hpp"
#include "runtime/os/file.hpp"

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

// Beside the running program only: a library found by the environment could be anybody's.
std::string module_path() {
  std::error_code failure;
  const auto program = std::filesystem::read_symlink("/proc/self/exe", failure).string();
  return os::join(os::parent_of(os::parent_of(program)), "lib/berth/libberth_git.so");
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
  // Never closed: libgit2 does not like to be unloaded, and a program asks once.
  void* module = ::dlopen(module_path().c_str(), RTLD_NOW | RTLD_LOCAL);
  void* symbol = module == nullptr ? nullptr : ::dlsym(module, "berth_git_provenance_1");
  if (symbol == nullptr) {
    const char* reason = ::dlerror();
    found.remarks.push_back(std::string("git was not asked: ") + (reason != nullptr ? reason : "no module"));
    return found;
  }
  reinterpret_cast<BerthGitProvenance>(symbol)(real.c_str(), diff_limit, take, &found);
  return found;
}

}  // namespace berth::git
