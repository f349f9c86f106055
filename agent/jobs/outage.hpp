#pragma once

// What a node lacks for a moment is no failure of the job that meets it: the job waits.

#include <optional>
#include <string>

#include "runtime/base/error.hpp"

namespace berth::jobs {

// What is away, for "waits for …": the container engine, the registry, disk space. Nothing for an Error that will come
// again however often it is tried. Who throws it says which it is.
std::optional<std::string> outage_of(const Error& error);

}  // namespace berth::jobs
