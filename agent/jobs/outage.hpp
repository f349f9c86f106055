#pragma once

// What a node lacks for a moment is no failure of the job that meets it: the job waits.

#include <optional>
#include <string>

#include "runtime/base/error.hpp"

namespace berth::jobs {

// What is away, for "waits for …": the container engine, the registry, disk space, processes. Nothing for an Error that
// will come again however often it is tried. `contained`: it was met while a job's container or image was being made
// ready. This is the one place that decides.
std::optional<std::string> outage_of(const Error& error, bool contained);

// Of those, whether it is the container engine that has to come back.
bool is_engines(const std::string& outage);

}  // namespace berth::jobs
