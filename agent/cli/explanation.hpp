#pragma once

// What to do where no agent can be reached: a failure to connect knows a socket, and not what this machine has.

#include "agent/cli/doctor/facts.hpp"
#include "agent/cli/misconfiguration.hpp"
#include "agent/cli/options.hpp"
#include "runtime/base/error.hpp"

namespace berth::cli {

// What `berth doctor` judges by, too. `failure`: of an attempt to ask the agent; nothing where it answered.
doctor::AccessFacts read_access(const Common& common, const Installation& installation, const doctor::Machine& machine,
                                std::optional<Error> failure);

// The same failure, or, where it is that no agent listens, one that tells why as far as that is known, and what helps.
Error explained(const Error& failure, const Common& common, const Installation& installation,
                const doctor::Machine& machine);

}  // namespace berth::cli
