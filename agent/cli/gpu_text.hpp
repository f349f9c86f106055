#pragma once

// GPUs for people. Pure.

#include <string>
#include <string_view>

#include "agent/cli/output.hpp"
#include "agent/wire/node.hpp"

namespace berth::cli {

// A line for each; why there are none, where there are none.
std::string gpus_table(const wire::Gpus& gpus, const Screen& screen);

// The agent's JSON of /v1/gpus.
wire::Gpus gpus_from_json(std::string_view answer);

}  // namespace berth::cli
