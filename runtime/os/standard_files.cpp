#include "runtime/os/standard_files.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

namespace berth::os {
namespace {

constexpr int kCannotRun = 125;

}  // namespace

void open_standard_files() {
  for (int fd = 0; fd <= 2; ++fd) {
    if (::fcntl(fd, F_GETFD) >= 0 || errno != EBADF) continue;
    // The lowest free number is this one, since those below it are open by now.
    if (::open("/dev/null", O_RDWR) != fd) ::_exit(kCannotRun);
  }
}

}  // namespace berth::os
