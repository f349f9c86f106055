#pragma once

// The texts of locks: what `berth env lock` printed, or what somebody made of it.

#include <nlohmann/json_fwd.hpp>
#include <string_view>

#include "runtime/base/json.hpp"

namespace berth::environment {

// What a lock may be, whether a build told it or a user sends it.
constexpr JsonBounds kLockBounds{.bytes = 1U << 20, .values = 100'000, .depth = 16};

// Throws Error Code::invalid, Code::too_large.
nlohmann::json read_lock(std::string_view text);

}  // namespace berth::environment
