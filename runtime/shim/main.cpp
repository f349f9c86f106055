// berth-shim DIRECTORY: runs the launch of that directory. See supervisor.hpp.
// berth-shim --server: forks supervisors in advance for the directories that come over standard input. See server.hpp.
// berth-shim --hold: does nothing until its standard input ends.

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <string>
#include <utility>

#include "runtime/base/error.hpp"
#include "runtime/os/standard_files.hpp"
#include "runtime/shim/server.hpp"
#include "runtime/shim/supervisor.hpp"

namespace {

// Outlives whoever started it: no terminal, no signals but SIGKILL, nothing of its parent's.
void stand_alone() {
  for (const int signal : {SIGHUP, SIGINT, SIGQUIT, SIGPIPE, SIGTERM, SIGUSR1, SIGUSR2}) ::signal(signal, SIG_IGN);
  ::umask(022);
  ::prctl(PR_SET_DUMPABLE, 0);  // jobs of the same user cannot look into it, nor take its descriptors
  ::setenv("TZ", "UTC0", 1);  // no time of ours is local: spares reading the zone's file
  if (::chdir("/") < 0) return;
}

// Standard error stays until there is nothing more to say there.
void use_null_files() {
  const int null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  for (int fd = 0; fd < 3; ++fd)
    if (null >= 0) ::dup2(null, fd);
}

// Neither being a subreaper nor a session is inherited from the server.
void supervise(const char* directory, berth::os::Fd launch) {
  ::setsid();
  ::prctl(PR_SET_CHILD_SUBREAPER, 1);
  use_null_files();
  try {
    berth::shim::supervise(directory, std::move(launch));
  } catch (const berth::Error&) {  // it could not even be claimed; whoever waits sees that nothing was started
    ::_exit(1);
  }
}

// Whoever says something there is not listened to.
void wait_for_end_of_input() {
  pollfd input{STDIN_FILENO, POLLIN, 0};
  while (true) {
    if (::poll(&input, 1, -1) < 0) continue;  // EINTR
    if ((input.revents & (POLLHUP | POLLERR | POLLNVAL)) != 0) return;
    char letter = 0;
    if (::read(STDIN_FILENO, &letter, 1) == 0) return;
    input.events = 0;
  }
}

std::string resolved(const char* path) {
  char* directory = ::realpath(path, nullptr);
  const std::string text(directory != nullptr ? directory : "");
  ::free(directory);
  return text;
}

}  // namespace

int main(int argc, char** argv) {
  berth::os::open_standard_files();
  const std::string argument = argc == 2 ? argv[1] : "";
  const bool option = argument.starts_with("--");
  const auto path = option ? std::string() : resolved(argument.c_str());
  if (path.empty() && argument != "--server" && argument != "--hold") {
    ::fprintf(stderr, "usage: berth-shim DIRECTORY (an existing launch directory)\n");
    return 2;
  }
  stand_alone();
  if (argument == "--server")
    berth::shim::serve(STDIN_FILENO, supervise);
  else if (argument == "--hold")
    wait_for_end_of_input();
  else
    supervise(path.c_str(), {});
  return 0;
}
