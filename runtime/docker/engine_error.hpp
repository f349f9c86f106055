#pragma once

// The engine's failures in our words: its statuses are coarse (a pull fails with 404 or 500 for half a dozen
// reasons), so the kind is read from what it says.

#include <string>
#include <string_view>

#include "runtime/base/error.hpp"
#include "runtime/docker/reference.hpp"

namespace berth::docker {

// The "message" of a failure's body, or the body itself where it is no JSON.
std::string message_of(std::string_view body);

// Why an image could not be pulled: not_found, denied (no or wrong credentials), unsupported (wrong
// architecture), no_space, unavailable (registry unreachable, or it died on the way, or limits its clients).
Error pull_error(const Reference& image, const std::string& said);
// Why a build failed: the step's own words; failures to get the base image as in pull_error.
Error build_error(const std::string& said);
// Any other call: "cannot <action> <object>: …"; 404 is not_found, 409 conflict.
Error call_error(int status, const std::string& action, const std::string& object, const std::string& said);

}  // namespace berth::docker
