#pragma once

// Paths as a job request holds them.

#include <optional>
#include <string>
#include <string_view>

namespace berth::jobfile {

// "/a/./b//c/../d" → "/a/b/d"; a relative path is taken from `base`. Looks at no file.
std::string absolute_path(std::string_view path, std::string_view base);
// What follows `root` in `path`, both absolute and normal: "" for the root itself, nothing outside of it.
std::optional<std::string> path_within(std::string_view path, std::string_view root);
// "./a//b/" → "a/b", "." → ""; nothing for an absolute path and for one that leaves its base.
std::optional<std::string> relative_path(std::string_view path);

}  // namespace berth::jobfile
