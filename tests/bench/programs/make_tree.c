// make_tree code    DIR FILES BYTES SEED    FILES text files like Python sources, BYTES in all: 100 to a folder,
//                                           1,000 to a package (DIR/package003/module031/file03117.py)
// make_tree weights DIR FILES BYTES SEED    FILES files of BYTES each, 32-bit floats around zero as in a model
// The same seed makes the same tree.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { kWords = 4000, kFilesPerModule = 100, kModulesPerPackage = 10 };

static uint64_t state;

static uint64_t draw(void) {  // xorshift64*
  state ^= state >> 12;
  state ^= state << 25;
  state ^= state >> 27;
  return state * 0x2545F4914F6CDD1DULL;
}

static void reseed(uint64_t seed) {
  state = seed * 0x9E3779B97F4A7C15ULL + 0x632BE59BD9B4E019ULL;
  for (int turn = 0; turn < 8; ++turn) draw();
}

static char words[kWords][12];

static void make_words(void) {
  reseed(1);
  for (int at = 0; at < kWords; ++at) {
    const size_t length = 3 + draw() % 8;
    for (size_t letter = 0; letter < length; ++letter) words[at][letter] = (char)('a' + draw() % 26);
  }
}

static const char* word(void) { return words[draw() % kWords]; }

static FILE* create(const char* path) {
  FILE* file = fopen(path, "w");
  if (file == NULL) {
    perror(path);
    exit(1);
  }
  return file;
}

static int write_statement(FILE* file) {
  const char* a = word();
  const char* b = word();
  const char* c = word();
  const char* d = word();
  switch (draw() % 8) {
    case 0:
      return fprintf(file, "def %s_%s(%s, %s=None):\n", a, b, c, d);
    case 1:
      return fprintf(file, "    %s = self.%s(%s, %s)\n", a, b, c, d);
    case 2:
      return fprintf(file, "        return %s.%s(%s[%s])\n", a, b, c, d);
    case 3:
      return fprintf(file, "    for %s in %s.%s(%s):\n", a, b, c, d);
    case 4:
      return fprintf(file, "from %s.%s import %s_%s\n", a, b, c, d);
    case 5:
      return fprintf(file, "    # the %s of %s before %s and %s\n", a, b, c, d);
    case 6:
      return fprintf(file, "    assert %s.%s == %s.%s\n", a, b, c, d);
    default:
      return fprintf(file, "    log.info(\"%s %s %s %s\")\n", a, b, c, d);
  }
}

static void make_code(const char* root, int count, long bytes, uint64_t seed) {
  make_words();
  reseed(seed);
  const long average = bytes / count;
  for (int number = 0; number < count; ++number) {
    const int module = number / kFilesPerModule, package = module / kModulesPerPackage;
    char path[1024];
    snprintf(path, sizeof path, "%s/package%03d", root, package);
    mkdir(path, 0755);
    snprintf(path, sizeof path, "%s/package%03d/module%03d", root, package, module);
    mkdir(path, 0755);
    snprintf(path, sizeof path, "%s/package%03d/module%03d/file%05d.py", root, package, module, number);
    FILE* file = create(path);
    // Half to one and a half of the average.
    const long wanted = average / 2 + (long)(draw() % (uint64_t)(average + 1));
    for (long written = 0; written < wanted;) written += write_statement(file);
    fclose(file);
  }
}

// Bell-shaped with a spread of about 0.02: exponents compress, mantissas do not.
static float weight(void) {
  const uint64_t bits = draw();
  const float sum =
      (float)(bits & 0xffff) + (float)(bits >> 16 & 0xffff) + (float)(bits >> 32 & 0xffff) + (float)(bits >> 48);
  return (sum / 65536.0F - 2.0F + (float)(draw() & 0xffffff) * 1e-12F) * 0.035F;
}

static void make_weights(const char* root, int count, long bytes, uint64_t seed) {
  for (int number = 0; number < count; ++number) {
    reseed(seed * 1000 + (uint64_t)number);
    char path[1024];
    snprintf(path, sizeof path, "%s/shard%02d.bin", root, number);
    FILE* file = create(path);
    for (long written = 0; written < bytes; written += 4096) {
      float values[1024];
      for (int at = 0; at < 1024; ++at) values[at] = weight();
      fwrite(values, 1, (size_t)(bytes - written < 4096 ? bytes - written : 4096), file);
    }
    fclose(file);
  }
}

int main(int argc, char** argv) {
  if (argc != 6) return 2;
  const int count = atoi(argv[3]);
  const long bytes = atol(argv[4]);
  const uint64_t seed = strtoull(argv[5], NULL, 10);
  mkdir(argv[2], 0755);
  if (strcmp(argv[1], "code") == 0)
    make_code(argv[2], count, bytes, seed);
  else
    make_weights(argv[2], count, bytes, seed);
  return 0;
}
