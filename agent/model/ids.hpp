#pragma once

// What jobs are known by.

#include <cstdint>
#include <string>

#include "runtime/base/strong.hpp"

namespace berth::model {

// A job's name, like "brave-heron-7k2m": unique on its node, for ever.
struct JobId : Strong<JobId, std::string> {
  using Strong::Strong;
};

// A job's place in the order of submission on its node: from 1 on, and none is given twice.
struct Sequence : Strong<Sequence, std::int64_t> {
  using Strong::Strong;
};

}  // namespace berth::model
