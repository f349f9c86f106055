// tick_ages
// Reads emit_ticks' lines from stdin as they come and prints, at the end of input, the age in nanoseconds that each
// had when the read that brought it returned. Other lines are passed over.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"

enum { kMost = 1 << 20 };

int main(void) {
  static int64_t ages[kMost];
  static char buffer[1 << 16];
  size_t held = 0, count = 0;
  ssize_t got;
  while ((got = read(STDIN_FILENO, buffer + held, sizeof buffer - held)) > 0) {
    const int64_t now = now_ns();
    held += (size_t)got;
    char* line = buffer;
    for (char* end; (end = memchr(line, '\n', (size_t)(buffer + held - line))) != NULL; line = end + 1)
      if (strncmp(line, "tick ", 5) == 0 && count < kMost) ages[count++] = now - strtoll(line + 5, NULL, 10);
    held = (size_t)(buffer + held - line);
    memmove(buffer, line, held);
  }
  for (size_t at = 0; at < count; ++at) printf("%lld\n", (long long)ages[at]);
  return 0;
}
