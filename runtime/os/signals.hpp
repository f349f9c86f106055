#pragma once

// Signals as something to read, so that none is missed or deadly between a program's start and its first wait.

#include <signal.h>

#include <initializer_list>

#include "runtime/os/fd.hpp"

namespace berth::os {

// From its making on, these signals are not delivered to this thread and those it starts, but wait to be read. Make
// it before the first thread. Programs started with spawn() get their signals as usual.
class Signals {
 public:
  explicit Signals(std::initializer_list<int> numbers);
  Signals(const Signals&) = delete;
  Signals& operator=(const Signals&) = delete;
  ~Signals();

  // Readable when one of them is there.
  const Fd& fd() const { return fd_; }
  // The number of one that is there; waits for one otherwise.
  int read();

 private:
  sigset_t before_;
  Fd fd_;
};

}  // namespace berth::os
