/* fill_disk FILE: writes to FILE and to standard output until neither takes another byte; then ends with code 28. */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

int main(int argc, char** argv) {
  if (argc < 2) return 2;
  const int file = open(argv[1], O_WRONLY | O_CREAT | O_APPEND, 0644);
  char block[4096];
  memset(block, 'x', sizeof block);
  for (size_t size = sizeof block; size > 0; size /= 2)
    while (write(file, block, size) > 0) continue;
  for (size_t size = sizeof block; size > 0; size /= 2)
    while (write(1, block, size) > 0) continue;
  return 28;
}
