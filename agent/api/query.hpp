#pragma once

// Query parameters as values. A malformed one is Code::invalid naming it.

#include <cstdint>
#include <optional>
#include <string_view>

#include "runtime/http/request.hpp"

namespace berth::api {

// "1", "true" and the empty value ("?follow") are true.
bool flag(const http::Request& request, std::string_view name);
// Not negative.
std::optional<std::int64_t> whole_number(const http::Request& request, std::string_view name);

}  // namespace berth::api
