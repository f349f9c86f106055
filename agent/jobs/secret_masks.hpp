#pragma once

// How the secrets of a job may be written in its logs and in messages about it, to be hidden there. Pure.

#include <string>
#include <vector>

#include "agent/model/secrets.hpp"
#include "runtime/base/error.hpp"
#include "runtime/logs/mask.hpp"

namespace berth::jobs {

// As they are, percent-encoded in a URL and decoded, escaped in JSON, and in Base64 wherever they begin in it.
logs::Mask mask_of(const model::JobSecrets& secrets);
logs::Mask mask_of(const std::vector<model::JobSecrets>& several);
// The same error with no secret in its words.
Error masked(const Error& error, const model::JobSecrets& secrets);
Error masked(const Error& error, const logs::Mask& mask);

}  // namespace berth::jobs
