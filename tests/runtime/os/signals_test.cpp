#include "runtime/os/signals.hpp"

#include <doctest/doctest.h>
#include <poll.h>

using namespace berth;

namespace {

bool is_readable(const os::Fd& fd) {
  pollfd poll{fd.get(), POLLIN, 0};
  return ::poll(&poll, 1, 0) == 1;
}

}  // namespace

TEST_CASE("a signal waits to be read instead of ending the program") {
  os::Signals signals{SIGUSR1, SIGUSR2};
  CHECK_FALSE(is_readable(signals.fd()));
  ::raise(SIGUSR2);
  CHECK(is_readable(signals.fd()));
  CHECK(signals.read() == SIGUSR2);
  CHECK_FALSE(is_readable(signals.fd()));
}

TEST_CASE("afterwards signals are delivered as before") {
  { const os::Signals signals{SIGUSR1}; }
  sigset_t blocked;
  ::pthread_sigmask(SIG_SETMASK, nullptr, &blocked);
  CHECK(sigismember(&blocked, SIGUSR1) == 0);
}
