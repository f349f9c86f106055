#pragma once

// The files that an environment is made from: the one that was named, and all that it includes. The includes are
// pip's (-r, --requirement, -c, --constraint), in a requirements file or in the pip section of an environment.yml.

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace berth::jobfile {

struct EnvironmentFiles {
  std::string file;                          // the one that was named
  std::map<std::string, std::string> files;  // contents by path, relative to the directory that holds them all
};

// `path` is absolute. `read` gives a file's contents or throws; its Error comes back naming `flag` and the file that
// includes it. Code::too_large above 1 MiB or 100 files.
EnvironmentFiles gather_files(const std::string& flag, const std::string& path,
                              const std::function<std::string(const std::string&)>& read);

// The local files that a file of this content includes, as they are written there: addresses are left out.
std::vector<std::string> included_files(std::string_view text);

}  // namespace berth::jobfile
