// emit_ticks COUNT INTERVAL_US DELAY_US
// After DELAY_US writes COUNT lines "tick <ns of CLOCK_MONOTONIC>", one write each, INTERVAL_US apart.
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "clock.h"

int main(int argc, char** argv) {
  if (argc != 4) return 2;
  const int count = atoi(argv[1]);
  const useconds_t interval = (useconds_t)atoi(argv[2]);
  usleep((useconds_t)atoi(argv[3]));
  for (int number = 0; number < count; ++number) {
    char line[64];
    const int length = snprintf(line, sizeof line, "tick %lld\n", (long long)now_ns());
    if (write(STDOUT_FILENO, line, (size_t)length) != length) return 1;
    usleep(interval);
  }
  return 0;
}
