#pragma once

// The programs that Berth calls and waits for: git, conda, credential helpers, `on_idle`. Each has a session of its
// own, a time, and an output that is bounded; when its caller is stopped, or its time is over, all of its session is
// killed.

#include <sys/types.h>

#include <chrono>
#include <functional>

#include "runtime/async/task.hpp"
#include "runtime/os/spawn.hpp"

namespace berth::async {

struct ToolBounds {
  std::chrono::milliseconds time;
  std::size_t output = 16U << 20;  // bytes of each stream; the rest is read and dropped
};

// `program`: as for os::spawn, but for its output and its session. Its own end counts, not that of its output: a child
// that it left behind may hold the pipes for ever. Throws what os::spawn throws, and Code::timeout.
// `started` is told of its process, in case somebody else wants to end it sooner.
using ToolStarted = std::function<void(pid_t)>;
Task<os::Finished> run_tool(os::SpawnOptions program, ToolBounds bounds, ToolStarted started = {});

// The same for a thread that may block, and has no loop.
os::Finished run_tool_here(os::SpawnOptions program, ToolBounds bounds, ToolStarted started = {});

}  // namespace berth::async
