#pragma once

// Starting programs. The caller learns synchronously whether exec succeeded.

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/os/fd.hpp"
#include "runtime/os/identity.hpp"
#include "runtime/os/process.hpp"

namespace berth::os {

struct SpawnOptions {
  std::vector<std::string> arguments;    // arguments[0] is the program's path: no search on PATH
  std::vector<std::string> environment;  // NAME=VALUE, the whole of it
  std::string working_directory;         // "" keeps the caller's
  int standard_input = -1;               // -1: /dev/null, for all three
  int standard_output = -1;
  int standard_error = -1;
  std::optional<Identity> identity;  // to run as; needs root
  bool new_session = false;
  // A program for a user rather than a part of ours: no new privileges, no core dumps, no protection from the
  // out-of-memory killer, an ordinary number of descriptors, less urgent than us.
  bool for_user = false;
  int also = -1;    // becomes descriptor 3 of the program
  int cgroup = -1;  // a control group's directory to be born in; -1: the caller's group
};

struct Child {
  ProcessId id;
  Fd pidfd;
};

// Throws an Error naming the program when it cannot be started: Code::not_found, Code::denied (not
// executable). Being born in a group is not the same as being moved there: moving waits for the kernel's
// readers, which takes some 20 ms on many kernels. No descriptor but the standard three reaches the program;
// all signals are unblocked and at their defaults.
Child spawn(const SpawnOptions& options);

// fork(2) with the child in a control group (its open directory), moved there where the kernel cannot let it be
// born there; -1 and errno as fork. Between it and exec or _exit the child of a process with threads may do
// system calls only.
pid_t fork_into_cgroup(int cgroup);

// What came of a program that was run to its end.
struct Finished {
  Exit exit;
  std::string output;
  std::string errors;
};

// The program of this name that a PATH leads to. What is not absolute on it is passed over: it would be another program
// at another place.
std::optional<std::string> find_program(std::string_view path, std::string_view name);

}  // namespace berth::os
