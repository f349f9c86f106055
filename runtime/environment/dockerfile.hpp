#pragma once

// Which images a Dockerfile builds upon. Only that: what it means otherwise is for the engine to say. Pure.

#include <set>
#include <string>
#include <string_view>

namespace berth::environment {

struct DockerfileImages {
  std::set<std::string> all;  // as written, with the defaults of its own ARGs put in; not its stages, nor scratch
  std::string base;           // what its last stage comes from at last; "" for scratch, or what cannot be told
};

// Never fails: an instruction that it cannot read names no image.
DockerfileImages images_of_dockerfile(std::string_view text);

}  // namespace berth::environment
