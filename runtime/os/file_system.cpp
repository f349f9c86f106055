#include "runtime/os/file_system.hpp"

#include <sys/statvfs.h>

#include <filesystem>
#include <sstream>
#include <vector>

#include "runtime/base/error.hpp"

namespace berth::os {
namespace {

bool is_on(std::string_view path, std::string_view mount_point) {
  if (mount_point == "/") return true;
  return path.starts_with(mount_point) && (path.size() == mount_point.size() || path[mount_point.size()] == '/');
}

// proc(5): blanks and backslashes stand as three octal digits.
std::string unescaped(const std::string& text) {
  std::string plain;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool escape = text[i] == '\\' && i + 3 < text.size();
    plain += escape ? static_cast<char>(std::stoi(text.substr(i + 1, 3), nullptr, 8)) : text[i];
    if (escape) i += 3;
  }
  return plain;
}

}  // namespace

FileSystem file_system_of(const std::string& path) {
  struct statvfs info {};
  if (::statvfs(path.c_str(), &info) != 0) throw_errno("look at the file system of", path);
  std::error_code failure;
  const auto real = std::filesystem::canonical(path, failure);
  FileSystem system;
  if (!failure) system.type = mount_type(read_file("/proc/self/mountinfo"), real.string());
  system.space = space_of(path);
  system.files_free = info.f_favail;
  system.files_total = info.f_files;
  return system;
}

std::string mount_type(std::string_view mountinfo, std::string_view path) {
  std::istringstream lines{std::string(mountinfo)};
  std::string type;
  std::size_t longest = 0;
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::vector<std::string> fields;
    for (std::string word; words >> word;) fields.push_back(word);
    // id parent device root mount-point options [optional …] - type source options
    std::size_t separator = 6;
    while (separator < fields.size() && fields[separator] != "-") ++separator;
    if (separator + 1 >= fields.size()) continue;
    const auto mount_point = unescaped(fields[4]);
    if (mount_point.size() < longest || !is_on(path, mount_point)) continue;
    longest = mount_point.size();
    type = fields[separator + 1];  // of several on one point the last one is seen
  }
  return type;
}

}  // namespace berth::os
