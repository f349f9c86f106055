// write_log blocks BYTES SIDE_FILE    writes of 64 KiB
// write_log lines  COUNT SIDE_FILE    one write per line, as a program does that flushes every line
// Writes numbered lines to stdout and, at the end, the nanoseconds its writes took into SIDE_FILE: what a job feels
// of the path to its log, without the time it takes to start a job.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"

enum { kBlock = 64 * 1024, kBlockLine = 64 };

// "step=17 loss=2.7183 lr=1e-4\n"; printf would cost more than the write.
static size_t format_line(char* line, unsigned long number) {
  char digits[24];
  size_t count = 0, length = 5;
  memcpy(line, "step=", 5);
  do digits[count++] = (char)('0' + number % 10);
  while (number /= 10);
  while (count > 0) line[length++] = digits[--count];
  memcpy(line + length, " loss=2.7183 lr=1e-4\n", 21);
  return length + 21;
}

static int put(const char* data, size_t length) {
  while (length > 0) {
    const ssize_t written = write(STDOUT_FILENO, data, length);
    if (written < 0) return -1;
    data += written;
    length -= (size_t)written;
  }
  return 0;
}

static int write_lines(unsigned long lines) {
  char line[96];
  for (unsigned long number = 0; number < lines; ++number)
    if (put(line, format_line(line, number)) != 0) return -1;
  return 0;
}

// Every block begins with its number, so that a lost or repeated one shows.
static int write_blocks(unsigned long bytes) {
  static char block[kBlock + 1];
  for (size_t at = 0; at < kBlock; ++at)
    block[at] = at % kBlockLine == kBlockLine - 1 ? '\n' : (char)('!' + (at * 7 + at / kBlockLine * 13) % 90);
  for (unsigned long number = 0; bytes > 0; ++number) {
    const size_t length = bytes < kBlock ? bytes : kBlock;
    const int digits = snprintf(block, kBlockLine, "block %012lu", number);
    block[digits] = ' ';
    if (put(block, length) != 0) return -1;
    bytes -= length;
  }
  return 0;
}

int main(int argc, char** argv) {
  if (argc != 4) return 2;
  const unsigned long amount = strtoul(argv[2], NULL, 10);
  const int64_t begin = now_ns();
  if ((strcmp(argv[1], "lines") == 0 ? write_lines(amount) : write_blocks(amount)) != 0) {
    perror("write_log");
    return 1;
  }
  const int64_t end = now_ns();
  FILE* side = fopen(argv[3], "w");
  if (side == NULL) return 1;
  fprintf(side, "%lld\n", (long long)(end - begin));
  return fclose(side) == 0 ? 0 : 1;
}
