#pragma once

// How a launch's Protection comes about: one half outside the job's control group, one inside its mount namespace.

#include "runtime/os/fd.hpp"
#include "runtime/shim/contract.hpp"

namespace berth::shim {

// For mount_protection(). Makes a process for a moment, which a job's limit may forbid: so it is the supervisor's to
// do.
os::Fd owner_of_environment(const Launch& launch);

// In the job's mount namespace, still as the supervisor's user, after all other mounts are there.
void mount_protection(const Protection& protection, const os::Fd& owner);

}  // namespace berth::shim
