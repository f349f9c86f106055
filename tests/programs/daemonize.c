/* daemonize FILE [stay]: leaves a daemon behind as daemons do (two forks, a session of its own), deaf to polite
   signals and with its output open. Its pid is in FILE before this returns. With "stay" the main process stays too. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static void daemon_body(const char* path) {
  signal(SIGTERM, SIG_IGN);
  signal(SIGHUP, SIG_IGN);
  char text[32];
  const int length = snprintf(text, sizeof text, "%d\n", (int)getpid());
  const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
  if (fd < 0 || write(fd, text, (size_t)length) != length) _exit(1);
  close(fd);
}

int main(int argc, char** argv) {
  if (argc < 2) return 2;
  int ready[2];
  if (pipe(ready) < 0) return 1;
  const pid_t middle = fork();
  if (middle == 0) {
    setsid();
    if (fork() != 0) _exit(0);
    daemon_body(argv[1]);
    close(ready[0]);
    close(ready[1]);
    for (;;) pause();
  }
  waitpid(middle, NULL, 0);
  close(ready[1]);
  char nothing;
  while (read(ready[0], &nothing, 1) > 0) continue;
  puts("daemon is up");
  fflush(stdout);
  if (argc > 2) pause();
  return 0;
}
