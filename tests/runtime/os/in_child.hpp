#pragma once

#include <sys/wait.h>
#include <unistd.h>

namespace berth::os {

// Whether `body` is true in a child: where it mounts, this process stays in the machine's own namespace.
template <class Body>
bool in_child(Body body) {
  const pid_t pid = ::fork();
  if (pid == 0) {
    int result = 1;
    try {
      result = body() ? 0 : 1;
    } catch (...) {
    }
    ::_exit(result);
  }
  int status = 0;
  ::waitpid(pid, &status, 0);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

}  // namespace berth::os
