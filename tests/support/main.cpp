// doctest's main. Beyond doctest it checks that a run leaves no descriptor open and no child process behind:
// a leak is a failure of the whole program, told by name.

#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <set>
#include <string>

namespace {

std::set<std::string> open_descriptors() {
  std::set<std::string> open;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    std::error_code gone;  // the iterator's own descriptor
    const auto target = std::filesystem::read_symlink(entry.path(), gone);
    const auto directory = "/proc/" + std::to_string(::getpid()) + "/fd";
    if (!gone && target != directory) open.insert(entry.path().filename().string() + " " + target.string());
  }
  return open;
}

bool children_left() {
  const pid_t child = ::waitpid(-1, nullptr, WNOHANG);
  return child >= 0;
}

}  // namespace

int main(int argc, char** argv) {
  ::setenv("TZ", "UTC", 1);
  const auto before = open_descriptors();
  int result = doctest::Context(argc, argv).run();
  for (const auto& descriptor : open_descriptors()) {
    if (before.contains(descriptor)) continue;
    std::fprintf(stderr, "leaked descriptor: %s\n", descriptor.c_str());
    result = result != 0 ? result : 1;
  }
  if (children_left()) {
    std::fprintf(stderr, "a child process was left behind\n");
    result = result != 0 ? result : 1;
  }
  return result;
}
