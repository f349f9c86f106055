// relay [ssh's options] HOST COMMAND…
// Stands in for ssh under rsync and git: runs the command here, passes both directions on and appends
// "<bytes to the command> <bytes from it>" to $RELAY_COUNTS. No network and no encryption: what is left is the
// peer's own work, and what it would have sent.
#define _GNU_SOURCE
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static char buffer[1 << 17];

// Reads once and passes all of it on; false at the end of input or when nobody takes it.
static int pass(int from, int to, long long* count) {
  const ssize_t got = read(from, buffer, sizeof buffer);
  if (got <= 0) return 0;
  for (ssize_t done = 0; done < got;) {
    const ssize_t put = write(to, buffer + done, (size_t)(got - done));
    if (put <= 0) return 0;
    done += put;
  }
  *count += got;
  return 1;
}

static pid_t start(char* command, int* to, int* from) {
  int in[2], out[2];
  if (pipe2(in, O_CLOEXEC) != 0 || pipe2(out, O_CLOEXEC) != 0) exit(1);
  fcntl(in[1], F_SETPIPE_SZ, 1 << 20);
  fcntl(out[1], F_SETPIPE_SZ, 1 << 20);
  const pid_t child = fork();
  if (child == 0) {
    dup2(in[0], STDIN_FILENO);
    dup2(out[1], STDOUT_FILENO);
    execl("/bin/sh", "sh", "-c", command, (char*)NULL);
    _exit(127);
  }
  close(in[0]);
  close(out[1]);
  *to = in[1];
  *from = out[0];
  return child;
}

int main(int argc, char** argv) {
  int at = 1;
  while (at < argc && argv[at][0] == '-') at += strchr("lop", argv[at][1]) != NULL && argv[at][2] == '\0' ? 2 : 1;
  static char command[1 << 16];
  for (++at; at < argc; ++at) {
    strncat(command, argv[at], sizeof command - strlen(command) - 2);
    strcat(command, " ");
  }
  int to, from;
  const pid_t child = start(command, &to, &from);
  signal(SIGPIPE, SIG_IGN);
  for (int fd = 0; fd < 2; ++fd) fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK);  // rsync's ends are non-blocking
  long long up = 0, down = 0;
  struct pollfd ends[2] = {{STDIN_FILENO, POLLIN, 0}, {from, POLLIN, 0}};
  while (ends[1].fd >= 0 && poll(ends, 2, -1) > 0) {
    if (ends[0].fd >= 0 && ends[0].revents != 0 && !pass(STDIN_FILENO, to, &up)) {
      close(to);
      ends[0].fd = -1;
    }
    if (ends[1].revents != 0 && !pass(from, STDOUT_FILENO, &down)) ends[1].fd = -1;
  }
  int status;
  waitpid(child, &status, 0);
  const char* counts = getenv("RELAY_COUNTS");
  if (counts != NULL) {
    const int fd = open(counts, O_CREAT | O_WRONLY | O_APPEND, 0600);
    dprintf(fd, "%lld %lld\n", up, down);
    close(fd);
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
