#pragma once

// How an Error travels: {"error":{"code":"not_found","message":"…","hint":"…","context":["…"]}}.

#include <string>
#include <string_view>

#include "runtime/base/error.hpp"

namespace berth::http {

std::string to_json(const Error& error);
// The Error in the body of a response of that status (>= 400). A body that is not ours still gives one: its
// code by the status, its message from the text.
Error error_from_response(int status, std::string_view body);

}  // namespace berth::http
