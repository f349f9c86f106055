#include "runtime/os/signals.hpp"

#include <sys/signalfd.h>

#include <span>

#include "runtime/base/error.hpp"

namespace berth::os {

Signals::Signals(std::initializer_list<int> numbers) {
  sigset_t set;
  sigemptyset(&set);
  for (const int number : numbers) sigaddset(&set, number);
  ::pthread_sigmask(SIG_BLOCK, &set, &before_);
  fd_.reset(::signalfd(-1, &set, SFD_CLOEXEC));
  if (!fd_) throw_errno("wait for", "signals");
}

Signals::~Signals() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

int Signals::read() {
  signalfd_siginfo info{};
  read_some(fd_, std::span(reinterpret_cast<char*>(&info), sizeof info));
  return static_cast<int>(info.ssi_signo);
}

}  // namespace berth::os
