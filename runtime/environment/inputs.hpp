#pragma once

// What a build has to read outside of its own directory and of the system's: sources of packages on this machine, and
// the programs that it is made with.

#include <string>
#include <vector>

namespace berth::environment {

// Of those that are this machine's, the paths: "/data/wheels", "file:///data/channel".
std::vector<std::string> paths_of_sources(const std::vector<std::string>& sources);

// The files and directories of a program: of one in an environment of Python or conda, the environment; of a script,
// also what it names. Looks at the machine; what is part of the system may be among them.
std::vector<std::string> files_of_program(const std::string& path);

}  // namespace berth::environment
