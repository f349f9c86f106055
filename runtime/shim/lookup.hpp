#pragma once

// Finding the program that a command names, as the user who will run it, and telling in plain words why it
// cannot be run. To be called as that user, in the command's working directory.

#include <string>
#include <variant>
#include <vector>

#include "runtime/shim/contract.hpp"

namespace berth::shim {

// The path to execute, or why there is none. A name without a slash is looked for on `environment`'s PATH.
std::variant<std::string, NotStarted> find_program(const std::string& command,
                                                   const std::vector<std::string>& environment);

// Why execve of `path` failed with `error_number`.
NotStarted explain_exec_failure(const std::string& command, const std::string& path, int error_number);

// Why `directory` cannot be entered; `error_number` is chdir's.
NotStarted explain_directory_failure(const std::string& directory, int error_number);

}  // namespace berth::shim
