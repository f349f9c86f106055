#pragma once

// The flags that say what a command runs in → model::EnvironmentRequest.

#include "agent/jobfile/flags.hpp"

namespace berth::jobfile {

// Without any of them the machine as it is, or its python3 for a `script`. Complete but for the digest of a
// Dockerfile's directory, which only sending can know: see dockerfile_place(). Throws as to_request() does.
model::EnvironmentRequest environment(const Flags& flags, const Place& place, bool script);

// The directory of --dockerfile, absolute, and the file in it. What is named may be the directory, or a file such as
// docker/Dockerfile.gpu, whose directory is meant.
struct DockerfilePlace {
  std::string directory;
  std::string file;
};
DockerfilePlace dockerfile_place(const Flags& flags, const Place& place);

}  // namespace berth::jobfile
