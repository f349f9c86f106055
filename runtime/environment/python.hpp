#pragma once

// A look at one Python interpreter: what it is and what is installed for it, asked of itself.

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "runtime/async/errand.hpp"
#include "runtime/os/identity.hpp"

namespace berth::environment {

struct Python {
  std::string path;        // absolute, symlinks kept: a venv's interpreter knows itself by its path
  std::string executable;  // as it names itself; another one than `path` behind a wrapper script
  std::string prefix;
  bool is_venv = false;
  std::string version;                // "3.11.2"
  std::string implementation;         // "CPython"
  std::string platform;               // "linux-x86_64"
  std::vector<std::string> packages;  // "name==version", sorted
  std::vector<std::string> locations;  // every directory (or file) that it takes modules from, existing or not
};

// The candidates for `python`: itself when it is a path, else what PATH has of that name. Code::invalid for a
// relative path, Code::not_found when there is none.
std::vector<std::string> find_python(const std::string& python, const std::string& path);

// Starts it, as that user, as an errand (runtime/async/errand.hpp). Errors name the interpreter, the reason and the
// remedy; Cancelled by `stop`.
Python look_at_python(const std::string& path, const std::optional<os::Identity>& identity,
                      std::chrono::seconds patience, const async::ErrandGround& ground = {},
                      const std::stop_token& stop = {});

// What can be seen of a file from outside; equal values mean the same content. A missing file has one too.
struct Stamp {
  dev_t device = 0;
  ino_t inode = 0;
  std::int64_t modified = 0;  // nanoseconds
  friend bool operator==(const Stamp&, const Stamp&) = default;
};
Stamp stamp_of(const std::string& path);

}  // namespace berth::environment
