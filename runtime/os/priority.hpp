#pragma once

// How urgent the threads of this process are, and which processes go first when the machine has no memory left. The one
// that everybody waits for may be more urgent than what this process was started as; its other threads, and every
// program that it starts, are as usual (spawn.hpp sees to that).

namespace berth::os {

// Of the calling thread alone, where this process may (as root): what else the machine computes, jobs above all, keeps
// it from its turn less. Threads that it starts from now on begin as urgent: they call be_usual() or be_nice().
void be_prompt() noexcept;
// The calling thread, as this process was started.
void be_usual() noexcept;
// The calling thread (or a child between fork and exec), so much less urgent than that. That it cannot be had costs
// nothing but speed elsewhere.
void be_nice(int by) noexcept;

// Of this process, and of what it starts from now on: a child's, between fork and exec. Whatever is not root can make
// it worse for itself alone.
enum class WithoutMemory {
  as_any,  // by its size, as any process of the machine; only root can take back what a service inherits
  goes_first,  // before all that do not: nothing was claimed for it, so nobody else pays for what it uses
};
void when_memory_runs_out(WithoutMemory what) noexcept;

}  // namespace berth::os
