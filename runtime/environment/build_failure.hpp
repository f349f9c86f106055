#pragma once

// Why a build failed, told by what its supervisor and its log say. Pure.

#include <string>
#include <string_view>

#include "runtime/base/error.hpp"
#include "runtime/shim/contract.hpp"

namespace berth::environment {

// The lines at the end of a log that matter, as running text: from the last complaint on, without colours and
// progress.
std::string error_summary(std::string_view log);

// `words`: what was built. `log`: the end of what it printed. `disk_full`: it is so now, and the
// log may lack for it. Code::no_space, Code::timeout, Code::unavailable (an
// index that does not answer: later it may) or Code::invalid.
Error build_failure(const std::string& words, const shim::Ended& ended, std::string_view log, bool disk_full);

}  // namespace berth::environment
