#include "agent/jobfile/working_directory.hpp"

#include <filesystem>

namespace berth::jobfile {
namespace {

std::string without_slash_at_end(std::string path) {
  while (path.size() > 1 && path.ends_with('/')) path.pop_back();
  return path;
}

}  // namespace

std::string absolute_path(std::string_view path, std::string_view base) {
  const auto joined = std::filesystem::path(base) / std::filesystem::path(path);
  return without_slash_at_end(joined.lexically_normal().string());
}

std::optional<std::string> path_within(std::string_view path, std::string_view root) {
  if (path == root) return "";
  if (root == "/") return std::string(path.substr(1));
  if (!path.starts_with(root) || path[root.size()] != '/') return std::nullopt;
  return std::string(path.substr(root.size() + 1));
}

std::optional<std::string> relative_path(std::string_view path) {
  if (path.starts_with('/')) return std::nullopt;
  auto normal = without_slash_at_end(std::filesystem::path(path).lexically_normal().string());
  if (normal == "..") return std::nullopt;
  if (normal.starts_with("../")) return std::nullopt;
  return normal == "." ? "" : normal;
}

}  // namespace berth::jobfile
