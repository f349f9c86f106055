#pragma once

// What a job says about the container that it runs in.

#include <optional>
#include <string>
#include <vector>

#include "runtime/base/units.hpp"

namespace berth::model {

struct ContainerRequest {
  std::optional<ByteSize> shm_size;  // of /dev/shm; nothing: the node's default
  std::string docker_args;           // more of it in docker run's own language; what is allowed the node decides
  // Those that it brought credentials of its own for, which are nowhere in a request (registry_credentials.hpp).
  std::vector<std::string> registries;

  friend bool operator==(const ContainerRequest&, const ContainerRequest&) = default;
};

}  // namespace berth::model
