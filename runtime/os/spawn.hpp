#pragma once

// Starting programs. The caller learns synchronously whether exec succeeded.

#include <optional>
#include <string>
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
  std::optional<Identity> identity;      // to run as; needs root
  bool new_session = false;
};

struct Child {
  ProcessId id;
  Fd pidfd;
};

// Throws an Error naming the program when it cannot be started: Code::not_found, Code::denied (not executable).
// No descriptor but the standard three reaches the program; all signals are unblocked and at their defaults.
Child spawn(const SpawnOptions& options);

// Runs a short program to its end: its output (at most `limit` bytes of each stream; the rest is read and dropped).
// Blocks; kills it after `seconds`, which is Code::timeout.
struct Finished {
  Exit exit;
  std::string output;
  std::string errors;
};
Finished run_program(SpawnOptions options, int seconds, std::size_t limit = 16U << 20);

}  // namespace berth::os
