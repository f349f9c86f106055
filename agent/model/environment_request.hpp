#pragma once

// What a job's command runs in, as the user asks for it.

#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "runtime/base/digest.hpp"

namespace berth::model {

// Files are the user's, read by the command line: what counts is what they say.
struct EnvironmentRequest {
  enum class Kind {
    none,          // the machine as it is
    user_managed,  // an interpreter that the user looks after
    conda,         // made from an environment.yml
    venv,          // made from a requirements.txt or a pyproject.toml
    image,         // a Docker image
    dockerfile,    // one that is built
    lock,          // what an earlier environment was resolved to
  };
  Kind kind = Kind::none;
  // user_managed: an absolute path, or a name for PATH; venv: the version wanted, such as "3.11", or "" for any.
  std::string python;
  // conda, venv, lock, and an image that a conda environment is added to: contents by relative path, with everything
  // that they include, and which of them is the one asked for.
  std::string file;
  std::map<std::string, std::string> files;
  std::string image;              // a reference, or "cpu" or "gpu" for the node's own choice
  std::optional<Digest> context;  // dockerfile: a snapshot of the directory that is built
  std::string dockerfile;         // its path in there
  // lock: whether it is the lock of an image, where that was found out once (wire::request_from) and kept with the job.
  std::optional<bool> of_image;

  friend bool operator==(const EnvironmentRequest&, const EnvironmentRequest&) = default;
};

// What a request of a kind has: a new kind is an enumerator above, and its row in environment_request.cpp.
struct EnvironmentKind {
  enum class Field { none, optional, needed };
  std::string_view name;  // as requests have it; of what is made from files, as its provider is called too
  Field python = Field::none;
  Field file = Field::none;
  Field image = Field::none;
  Field context = Field::none;  // with the dockerfile in it
  bool in_container = false;  // of a lock it says itself
};
const EnvironmentKind& traits(EnvironmentRequest::Kind kind);

std::string_view name(EnvironmentRequest::Kind kind);
std::span<const std::string_view> names_of(EnvironmentRequest::Kind);  // all, in their order
std::optional<EnvironmentRequest::Kind> parse_environment_kind(std::string_view name);
// Reads the lock: what it is of, it says itself.
bool is_lock_of_image(const EnvironmentRequest& environment);
// Whether the job runs in a container of its own. Reads the lock where what it is of was not found out yet.
bool in_container(const EnvironmentRequest& environment);

}  // namespace berth::model
