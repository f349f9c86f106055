#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "runtime/snapshot/manifest.hpp"

namespace berth::snapshot {

// Paths of the files below `directory`, in their order; all of them for "".
inline std::vector<std::string> files_under(const Manifest& manifest, std::string_view directory = "") {
  const auto prefix = directory.empty() ? std::string() : std::string(directory) + "/";
  std::vector<std::string> files;
  for (std::size_t i = 0; i < manifest.entries().size(); ++i) {
    auto path = manifest.path(i);
    if (manifest[i].is_file() && path.starts_with(prefix)) files.push_back(std::move(path));
  }
  return files;
}

}  // namespace berth::snapshot
