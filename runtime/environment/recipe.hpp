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

#include <sys/types.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "runtime/environment/spec.hpp"
#include "runtime/gpu/wanted.hpp"

namespace berth::environment {

inline constexpr const char* kResultFile = "result.json";

struct Recipe {
  std::string kind;       // as Recipes::kind()
  std::string canonical;  // canonical JSON; its SHA-256 is the environment's digest
  std::string words;      // for people: "conda environment (python=3.11, numpy and 12 more)"
  Files files;            // written into the build directory
  std::string script;
  // The build's environment, but for PREFIX, HOME (the build directory), TMPDIR, PATH and CACHE (a directory
  // for $CACHE/conda, $CACHE/pip, $CACHE/uv: of nobody but the owner's builds, and gone with the build where there is
  // no owner), which Builds sets. Credentials belong
  // here or in `files` (as .netrc) and nowhere else: neither is shown, and both are gone when the build ends.
  std::vector<std::pair<std::string, std::string>> variables;
  std::vector<std::string> inputs;  // whole paths of what the build reads elsewhere, but for the system's own

  // Something of it came with a login, or from a place that only the user has named: nothing of it is for others.
  bool of_user = false;
  // Set by Environments, where users are told apart: whose alone the environment is, and who asks for it.
  std::optional<uid_t> owner;
  std::optional<uid_t> asker;
};

// The recipes of one kind: all that is its own in a kind which is built on the host. Called on threads, by several at
// once; blocks only to look at the tools that this machine has.
class Recipes {
 public:
  virtual ~Recipes() = default;

  // As specs and records name it, and as the locks have it that its builds write.
  virtual std::string kind() const = 0;
  // Code::invalid for files that cannot be read; Code::not_found and Code::unsupported for tools, with the remedy.
  virtual Recipe recipe(const FromFiles& spec) = 0;
  // Of a lock of this kind: exactly what that build came to.
  virtual Recipe recipe_of_lock(const std::string& lock) = 0;
  // What of CUDA its packages want, for jobs that ask for GPUs. Code::invalid as recipe().
  virtual std::vector<gpu::CudaRequirement> cuda(const FromFiles&) const { return {}; }
};

}  // namespace berth::environment
