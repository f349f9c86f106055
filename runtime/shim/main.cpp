// berth-shim DIRECTORY: runs the launch of that directory. See supervisor.hpp.
// berth-shim --spare: the same for the directory that comes as a line on standard input; ends with it.

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
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

// The line on standard input without its end; "" when nobody has work any more.
std::string wait_for_directory() {
  std::string line;
  char letter = 0;
  while (::read(STDIN_FILENO, &letter, 1) == 1) {
    if (letter == '\n') return line;
    line += letter;
  }
  return {};
}

std::string resolved(const char* path) {
  char* directory = ::realpath(path, nullptr);
  const std::string text(directory != nullptr ? directory : "");
  ::free(directory);
  return text;
}

}  // namespace

int main(int argc, char** argv) {
  const bool spare = argc == 2 && ::strcmp(argv[1], "--spare") == 0;
  auto path = argc == 2 && !spare ? resolved(argv[1]) : std::string();
  if (path.empty() && !spare) {
    ::fprintf(stderr, "usage: berth-shim DIRECTORY (an existing launch directory)\n");
    return 2;
  }
  stand_alone();
  if (spare) path = wait_for_directory();
  if (path.empty()) return 0;
  use_null_files();
  try {
    berth::shim::supervise(path);
  } catch (const berth::Error&) {
    return 1;  // it could not even be claimed; whoever waits sees that nothing was started
  }
  return 0;
}
