#pragma once

#include <fcntl.h>

#include "runtime/os/file.hpp"
#include "runtime/os/spawn.hpp"

namespace berth::os::test {

// Runs a program to its end, with its output in files.
inline Finished run(SpawnOptions options) {
  const TempDir directory;
  const auto output = open(directory / "output", O_WRONLY | O_CREAT, 0600);
  const auto errors = open(directory / "errors", O_WRONLY | O_CREAT, 0600);
  options.standard_output = output.get();
  options.standard_error = errors.get();
  const auto child = spawn(options);
  Finished finished;
  finished.exit = reap(child.pidfd);
  finished.output = read_file(directory / "output");
  finished.errors = read_file(directory / "errors");
  return finished;
}

}  // namespace berth::os::test
