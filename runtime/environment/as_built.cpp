#include "runtime/environment/as_built.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <vector>

#include "runtime/base/error.hpp"
#include "runtime/base/text.hpp"
#include "runtime/objects/sha256.hpp"

namespace berth::environment {
namespace {

namespace fs = std::filesystem;

// Every entry by its path, without following links; what cannot be looked at is passed over.
template <class Visit>
void walk(const std::string& tree, Visit visit) {
  const auto look = [&](const std::string& path) {
    struct stat info {};
    if (::lstat(path.c_str(), &info) == 0) visit(path, info);
  };
  look(tree);
  std::error_code failure;
  for (fs::recursive_directory_iterator at(tree, fs::directory_options::skip_permission_denied, failure), end;
       !failure && at != end; at.increment(failure))
    look(at->path().string());
  if (failure) throw errno_error(failure.value(), "look through", printable(tree));
}

}  // namespace

void close_to_writers(const std::string& tree) {
  walk(tree, [&](const std::string& path, const struct stat& info) {
    if (S_ISLNK(info.st_mode) || (info.st_mode & 0222) == 0) return;
    if (::chmod(path.c_str(), info.st_mode & 07555) != 0) throw_errno("close to writers", printable(path));
  });
}

std::string state_of(const std::string& tree) {
  std::vector<std::string> lines;
  walk(tree, [&](const std::string& path, const struct stat& info) {
    const auto size = S_ISDIR(info.st_mode) ? 0 : info.st_size;
    lines.push_back(path.substr(tree.size()) + '\0' + std::to_string(info.st_mode) + ' ' + std::to_string(info.st_ino) +
                    ' ' + std::to_string(size) + ' ' + std::to_string(info.st_mtim.tv_sec) + '.' +
                    std::to_string(info.st_mtim.tv_nsec) + '\n');
  });
  std::sort(lines.begin(), lines.end());
  std::string all;
  for (const auto& line : lines) all += line;
  return objects::sha256(all).hex();
}

}  // namespace berth::environment
