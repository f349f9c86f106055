#pragma once

// Supervisors that are there before they are needed: a process that forks them in advance, so that launching a job
// costs neither the start of a program nor a fork of the agent.
//
// Over a SOCK_SEQPACKET socket each request is the path of a launch directory, and after a zero byte the launch's key
// (seal.hpp); as SCM_RIGHTS comes a file with the launch (to_handover), where that is not in the directory. The idle
// supervisor that takes it answers with its process id (a pid_t), whether it has understood the key (a pid_t, too, of
// 1) and, as SCM_RIGHTS, a pidfd of itself. A supervisor that somebody stops is continued. When the other end of the
// socket is closed, the server and its idle supervisors end; those that have a job do not.

#include <cstddef>

#include "runtime/os/fd.hpp"

namespace berth::shim {

inline constexpr std::size_t kLongestRequest = 4096;

// Of a request: its launch, or an empty handle.
using Supervise = void (*)(const char* directory, os::Fd launch);

// Serves the socket until its other end is closed. `supervise` is called in a fresh process.
void serve(int socket, Supervise supervise);

}  // namespace berth::shim
