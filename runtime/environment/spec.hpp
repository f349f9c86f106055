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

// A conda environment.
struct Conda {
  std::string file;  // the main one of `files`: environment.yml, or Azure ML's conda_dependencies.yml
  Files files;       // with the requirements files that its pip section names
  friend bool operator==(const Conda&, const Conda&) = default;
};

// A Python virtual environment.
struct Venv {
  std::string python;  // "" any; or what is wanted: "3.11", "3.11.4", ">=3.10"
  std::string file;    // the main one of `files`: a requirements file, or a pyproject.toml
  Files files;         // with the requirements and constraints files that it includes
  friend bool operator==(const Venv&, const Venv&) = default;
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

using Spec = std::variant<None, UserManaged, Conda, Venv, Image, DockerBuild, Locked>;

}  // namespace berth::environment
