// arrive [DIR]
// The job of the transfer rows. First thing it prints when it came to run ("started <ns of CLOCK_MONOTONIC>"), then
// what it found: "tree <files> <bytes> <hash>" over the names, executable bits and contents of every file below DIR
// (or the current directory), without a top-level `.git`. The same program over the source
// tells whether what arrived is the same.
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "clock.h"

static uint64_t files, bytes, total;

static uint64_t mix(uint64_t hash, uint64_t value) {
  hash = (hash ^ value) * 0x9E3779B97F4A7C15ULL;
  return hash ^ (hash >> 29);
}

static uint64_t mix_bytes(uint64_t hash, const unsigned char* data, size_t length) {
  for (; length >= 8; data += 8, length -= 8) {
    uint64_t word;
    memcpy(&word, data, 8);
    hash = mix(hash, word);
  }
  uint64_t rest = length;
  for (size_t at = 0; at < length; ++at) rest = rest << 8 | data[at];
  return mix(hash, rest);
}

static void fail(const char* path) {
  perror(path);
  exit(1);
}

// Sums the files' hashes, so that the order in which a directory is read does not matter.
static void add_file(int directory, const char* name, const char* path, const struct stat* status) {
  static unsigned char buffer[1 << 16];
  uint64_t hash = mix_bytes(1, (const unsigned char*)path, strlen(path));
  hash = mix(hash, (status->st_mode & 0111) != 0);
  const int fd = openat(directory, name, O_RDONLY | O_NOFOLLOW);
  if (fd < 0) fail(path);
  // Full blocks, so that short reads do not change the hash.
  for (;;) {
    size_t held = 0;
    ssize_t got = 0;
    while (held < sizeof buffer && (got = read(fd, buffer + held, sizeof buffer - held)) > 0) held += (size_t)got;
    if (got < 0) fail(path);
    if (held == 0) break;
    hash = mix_bytes(hash, buffer, held);
    bytes += held;
  }
  close(fd);
  ++files;
  total += hash;
}

static void add_tree(int fd, const char* prefix) {
  DIR* directory = fdopendir(fd);
  if (directory == NULL) fail(prefix);
  for (struct dirent* entry; (entry = readdir(directory)) != NULL;) {
    const char* name = entry->d_name;
    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0) continue;
    if (prefix[0] == '\0' && strcmp(name, ".git") == 0) continue;
    char path[4096];
    snprintf(path, sizeof path, "%s%s", prefix, name);
    struct stat status;
    if (fstatat(fd, name, &status, AT_SYMLINK_NOFOLLOW) != 0) fail(path);
    if (S_ISREG(status.st_mode)) add_file(fd, name, path, &status);
    if (!S_ISDIR(status.st_mode)) continue;
    const int below = openat(fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    if (below < 0) fail(path);
    strcat(path, "/");
    add_tree(below, path);
  }
  closedir(directory);
}

int main(int argc, char** argv) {
  const int64_t started = now_ns();
  const char* root = argc > 1 ? argv[1] : ".";
  const int fd = open(root, O_RDONLY | O_DIRECTORY);
  if (fd < 0) fail(root);
  add_tree(fd, "");
  printf("started %lld\ntree %llu %llu %016llx\n", (long long)started, (unsigned long long)files,
         (unsigned long long)bytes, (unsigned long long)total);
  return 0;
}
