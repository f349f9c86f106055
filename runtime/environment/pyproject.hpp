#pragma once

// What a pyproject.toml asks for: the dependencies of its [project]. Pure.

#include <string>

#include "runtime/environment/requirements.hpp"

namespace berth::environment {

struct Project {
  std::string requires_python;  // ">=3.10"; "" for any
  Requirements requirements;
};

// Code::invalid for what is no TOML or has no [project]; Code::unsupported where the project's build tool
// would have to be asked for its dependencies.
Project read_pyproject(const std::string& text);

}  // namespace berth::environment
