#pragma once

// How urgent the threads of this process are. The one that everybody waits for may be more urgent than what this process
// was started as; its other threads, and every program that it starts, are as usual (spawn.hpp sees to that).

namespace berth::os {

// Of the calling thread alone, where this process may (as root): what else the machine computes, jobs above all, keeps it
// from its turn less. Threads that it starts from now on begin as urgent: they call be_usual() or be_nice().
void be_prompt() noexcept;
// The calling thread, as this process was started.
void be_usual() noexcept;
// The calling thread (or a child between fork and exec), so much less urgent than that. That it cannot be had costs nothing
// but speed elsewhere.
void be_nice(int by) noexcept;

}  // namespace berth::os
