// The one clock of all helpers: CLOCK_MONOTONIC in nanoseconds, the same in every process (and Python's
// time.monotonic_ns), so that a stamp made by one can be compared with the reading of another.
#ifndef BERTH_BENCH_CLOCK_H
#define BERTH_BENCH_CLOCK_H

#include <stdint.h>
#include <time.h>

static inline int64_t now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

#endif
