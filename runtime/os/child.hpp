#pragma once

// What a child does between fork and exec: system calls alone, since the parent may have had threads, and a child of a
// raw clone is one that the C library has not heard of.

#include "runtime/os/identity.hpp"

namespace berth::os {

// Every signal to its default, none blocked.
void reset_signals();

// Real, effective and saved user and group, and the supplementary groups; false with errno. Not by the C library's
// calls, which would wait for the parent's threads to follow.
bool become(const Identity& identity);

}  // namespace berth::os
