#pragma once

// What a job's command is to run in, as it was asked for. Pure values: nothing here looks at the machine.

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <variant>

namespace berth::environment {

// Files as the command line read them: their contents by relative name ("requirements/base.txt").
using Files = std::map<std::string, std::string>;

// The machine as it is.
struct None {
  friend bool operator==(const None&, const None&) = default;
};

// An interpreter that the user looks after.
struct UserManaged {
  std::string python = "python3";  // an absolute path, or a name to look for on the job's PATH
  friend bool operator==(const UserManaged&, const UserManaged&) = default;
};

// An environment that files tell of. How they are read is the kind's own: see its Recipes (recipe.hpp).
struct FromFiles {
  std::string kind;    // "conda", "venv"
  std::string python;  // "" any; or what is wanted: "3.11", "3.11.4", ">=3.10"
  std::string file;    // the main one of `files`
  Files files;         // with those that it includes
  friend bool operator==(const FromFiles&, const FromFiles&) = default;
};

// As FromFiles of kind "conda", read.
struct Conda {
  std::string file;  // the main one of `files`: environment.yml, or Azure ML's conda_dependencies.yml
  Files files;       // with the requirements files that its pip section names
  friend bool operator==(const Conda&, const Conda&) = default;
};

// A container image, with a conda environment on top of it where there is one.
struct Image {
  std::string reference;  // or "cpu" or "gpu": the configured default of that kind
  std::optional<Conda> conda;
  friend bool operator==(const Image&, const Image&) = default;
};

// A container image that is built.
struct DockerBuild {
  std::string context;  // a directory on this machine, the agent's own copy; only its contents count
  std::string dockerfile = "Dockerfile";  // relative to it
  std::shared_ptr<const void> held{};     // keeps the directory there; its build may outlive who asked for it
  friend bool operator==(const DockerBuild&, const DockerBuild&) = default;
};

// Exactly what an earlier build came to.
struct Locked {
  std::string lock;  // JSON, as `berth env lock` printed it (see recipe.hpp)
  friend bool operator==(const Locked&, const Locked&) = default;
};

using Spec = std::variant<None, UserManaged, FromFiles, Image, DockerBuild, Locked>;

// The kinds that have a Spec of their own, as records name them.
inline constexpr const char* kNoKind = "none";
inline constexpr const char* kUserManagedKind = "user-managed";
inline constexpr const char* kImageKind = "image";

}  // namespace berth::environment
