#pragma once

// How the secrets of a job may be written in its logs and in messages about it, to be hidden there. Pure.

#include <string>
#include <vector>

#include "agent/model/secrets.hpp"
#include "runtime/base/error.hpp"
#include "runtime/logs/mask.hpp"

namespace berth::jobs {

// Of so many bytes of secrets a mask's texts have at most so many, however they are written.
constexpr std::size_t kMostSpelled = 21;
static_assert(model::kMostMasked * kMostSpelled <= logs::Mask::kMostBytes);

// As they are, percent-encoded in a URL, escaped in JSON, and in Base64 wherever they begin in it. `values` are those
// of model::values_to_mask; Code::too_large where they are more than model::kMostMasked, which no job may bring along.
logs::Mask mask_of(const std::vector<std::string>& values);
void check_size(const std::vector<std::string>& values);
logs::Mask mask_of(const model::JobSecrets& secrets);
// The same error with nothing in its words that the mask hides.
Error masked(const Error& error, const logs::Mask& mask);

}  // namespace berth::jobs
