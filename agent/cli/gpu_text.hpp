#pragma once

// GPUs for people, from the agent's JSON of /v1/gpus. Pure.

#include <string>
#include <string_view>

#include "agent/cli/output.hpp"

namespace berth::cli {

// A line for each; why there are none, where there are none.
std::string gpus_table(std::string_view answer, const Screen& screen);

}  // namespace berth::cli
