// berth-shim DIRECTORY: runs the launch of that directory. See supervisor.hpp.

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <string>

#include "runtime/base/error.hpp"
#include "runtime/shim/supervisor.hpp"

namespace {

// Outlives whoever started it: no terminal, no signals but SIGKILL, nothing of its parent's.
void stand_alone() {
  for (const int signal : {SIGHUP, SIGINT, SIGQUIT, SIGPIPE, SIGTERM, SIGUSR1, SIGUSR2})
    ::signal(signal, SIG_IGN);
  ::setsid();
  ::prctl(PR_SET_CHILD_SUBREAPER, 1);
  ::umask(022);
  ::setenv("TZ", "UTC0", 1);  // no time of ours is local: spares reading the zone's file
  if (::chdir("/") < 0) return;
}

// Standard error stays until there is nothing more to say there.
void use_null_files() {
  const int null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  for (int fd = 0; fd < 3; ++fd)
    if (null >= 0) ::dup2(null, fd);
}

}  // namespace

int main(int argc, char** argv) {
  char* directory = argc == 2 ? ::realpath(argv[1], nullptr) : nullptr;
  if (directory == nullptr) {
    ::fprintf(stderr, "usage: berth-shim DIRECTORY (an existing launch directory)\n");
    return 2;
  }
  const std::string path(directory);
  ::free(directory);
  stand_alone();
  use_null_files();
  try {
    berth::shim::supervise(path);
  } catch (const berth::Error&) {
    return 1;  // it could not even be claimed; whoever waits sees that nothing was started
  }
  return 0;
}
