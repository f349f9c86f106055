// touch_memory MIB
// Writes one byte into every page of so much fresh memory and gives it back. A virtual machine whose host hands out
// memory only when it is touched would otherwise let the first writer of fresh page cache pay for it.
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  const size_t bytes = strtoul(argv[1], NULL, 10) << 20;
  volatile char* memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) {
    perror("touch_memory");
    return 1;
  }
  madvise((void*)memory, bytes, MADV_NOHUGEPAGE);
  for (size_t at = 0; at < bytes; at += 4096) memory[at] = 1;
  return 0;
}
