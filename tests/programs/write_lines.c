/* write_lines COUNT [MICROSECONDS]: lines of 16 bytes, "line 0000000000\n" and on; each written by itself and followed
   by a pause when one is given, else in large blocks. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int main(int argc, char** argv) {
  if (argc < 2) return 2;
  const long count = atol(argv[1]);
  const long pause = argc > 2 ? atol(argv[2]) : -1;
  for (long i = 0; i < count; ++i) {
    printf("line %010ld\n", i);
    if (pause >= 0) fflush(stdout);
    if (pause > 0) usleep((useconds_t)pause);
  }
  return 0;
}
