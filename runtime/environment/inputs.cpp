#include "runtime/environment/inputs.hpp"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>

#include "runtime/base/error.hpp"
#include "runtime/os/fd.hpp"
#include "runtime/os/file.hpp"

namespace berth::environment {
namespace {

constexpr std::size_t kLongestScript = 16'384;
constexpr std::size_t kMostFiles = 64;
constexpr int kDeepest = 3;  // a wrapper, its interpreter, and where that one's link leads
constexpr std::string_view kEndsPath = " \t\r\n\"'`;|&<>()$=:,";

bool is_environment(const std::string& prefix) {
  if (prefix.size() < 2) return false;
  if (os::exists(os::join(prefix, "conda-meta")) || os::exists(os::join(prefix, "pyvenv.cfg"))) return true;
  std::error_code failure;
  for (const auto& entry : std::filesystem::directory_iterator(os::join(prefix, "lib"), failure))
    if (entry.path().filename().string().starts_with("python3")) return true;
  return false;
}

// "" for what is no script.
std::string script_text(const std::string& path) {
  try {
    const auto file = os::open(path, O_RDONLY | O_NONBLOCK);
    struct stat info {};
    if (::fstat(file.get(), &info) != 0 || !S_ISREG(info.st_mode)) return {};
    std::string text(kLongestScript, '\0');
    text.resize(os::read_at(file, text, 0));
    return text.starts_with("#!") ? text : std::string();
  } catch (const Error&) {
    return {};
  }
}

void add_files(std::vector<std::string>& files, const std::string& path, int depth) {
  std::error_code failure;
  const bool known = std::find(files.begin(), files.end(), path) != files.end();
  if (known || files.size() >= kMostFiles || !std::filesystem::is_regular_file(path, failure)) return;
  files.push_back(path);
  const auto folder = os::parent_of(path);
  if (const auto prefix = os::parent_of(folder); os::name_of(folder) == "bin" && is_environment(prefix))
    files.push_back(prefix);
  if (depth >= kDeepest) return;
  const auto real = std::filesystem::canonical(path, failure).string();
  if (!failure && real != path) add_files(files, real, depth + 1);
  const auto text = script_text(path);
  for (auto at = text.find('/'); at != std::string::npos; at = text.find('/', at)) {
    const auto end = std::min(text.find_first_of(kEndsPath, at), text.size());
    const bool begins = at > 0 && (kEndsPath.find(text[at - 1]) != std::string_view::npos || text[at - 1] == '!');
    if (begins) add_files(files, text.substr(at, end - at), depth + 1);
    at = end;
  }
}

// "" for what is not on this machine.
std::string path_of_source(const std::string& source) {
  constexpr std::string_view kFile = "file://";
  if (source.starts_with("/")) return source;
  if (!source.starts_with(kFile)) return {};
  const auto path = source.substr(std::min(source.find('/', kFile.size()), source.size()));
  return path.substr(0, path.find_first_of("#?"));
}

}  // namespace

std::vector<std::string> paths_of_sources(const std::vector<std::string>& sources) {
  std::vector<std::string> paths;
  for (const auto& source : sources)
    if (auto path = path_of_source(source); !path.empty()) paths.push_back(std::move(path));
  return paths;
}

std::vector<std::string> files_of_program(const std::string& path) {
  std::vector<std::string> files;
  if (path.starts_with("/")) add_files(files, path, 0);
  return files;
}

}  // namespace berth::environment
