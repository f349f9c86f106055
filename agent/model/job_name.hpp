#pragma once

// Names for jobs: an adjective, an animal, and four letters or digits, without those that look alike.

#include <cstdint>

#include "agent/model/job.hpp"

namespace berth::model {

// The name for a 64-bit random number; the same number gives the same name. About 2^35 different ones, so the
// caller must check that it is free.
JobId job_name(std::uint64_t random);

}  // namespace berth::model
