#pragma once

// From the program's arguments to a verb, and from a failure to what the user reads.

#include <string>

#include "agent/cli/options.hpp"
#include "runtime/base/error.hpp"

namespace berth::cli {

// Runs the verb that the arguments name; returns the exit code.
int dispatch(Arguments arguments, Common& common);
// Tells the failure on standard error, as JSON where that was asked for; returns the exit code.
int report(const Error& error, const Common& common);

// `berth --help`.
std::string overview();
// "berth: cannot …\n  try …\n".
std::string failure_text(const Error& error);

}  // namespace berth::cli
