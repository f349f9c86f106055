#pragma once

// What turns a spec into a directory. Pure functions make a recipe of a spec and the node's configuration;
// Builds (builds.hpp) follows it.
//
// The script is run by `/bin/sh -eu`, in a build directory that holds `files`, with PREFIX in its
// environment: the final path, since few prefixes can be moved. PREFIX does not exist yet, its parent does.
// The script's last act is to write result.json into the build directory:
//
//   {"interpreter": "/…/prefix/bin/python", "path_prefix": "/…/prefix/bin",
//    "variables": {"CONDA_PREFIX": "…"},            what to set for a job, activate.d's results among them
//    "python_version": "3.11.2",
//    "packages": ["name==version", …],
//    "lock": {"kind": "conda", "explicit": ["url#md5", …], "pip": ["a==1", …]}}
//
// A venv's lock is {"kind": "venv", "python": "3.11.2", "pip": ["a==1", …]}.

#include <string>
#include <utility>
#include <vector>

#include "runtime/environment/spec.hpp"

namespace berth::environment {

inline constexpr const char* kResultFile = "result.json";

struct Recipe {
  std::string kind;       // "conda", "venv"
  std::string canonical;  // canonical JSON; its SHA-256 is the environment's digest
  std::string words;      // for people: "conda environment (python=3.11, numpy and 12 more)"
  Files files;            // written into the build directory
  std::string script;
  // The build's environment, but for PREFIX, HOME (the build directory), TMPDIR, PATH and CACHE (a directory
  // that all builds share, for $CACHE/conda, $CACHE/pip, $CACHE/uv), which Builds sets. Credentials belong
  // here or in `files` (as .netrc) and nowhere else: neither is shown, and both are gone when the build ends.
  std::vector<std::pair<std::string, std::string>> variables;
};

}  // namespace berth::environment
