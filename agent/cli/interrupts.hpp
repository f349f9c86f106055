#pragma once

// Signals while a job is followed. At a terminal Ctrl-C asks once: detach or cancel; a second one cancels.
// Elsewhere SIGINT cancels. SIGTERM always cancels; SIGHUP (the terminal went away) detaches: the job lives
// on. A canceled job is followed to its end, so that the exit code is its own; one more Ctrl-C leaves at
// once.

#include <csignal>
#include <string>
#include <thread>

#include "runtime/os/fd.hpp"

namespace berth::cli {

class Interrupts {
 public:
  Interrupts() = default;
  ~Interrupts();
  Interrupts(const Interrupts&) = delete;
  Interrupts& operator=(const Interrupts&) = delete;

  // Keeps the signals pending: between here and watch() nothing ends the program, so that no job is submitted
  // that nobody knows of.
  void hold_back();
  // From here on the signals are answered, in a thread of their own.
  void watch(std::string job, std::string socket);

 private:
  sigset_t before_{};
  os::Fd signals_;
  os::Fd stop_;
  std::thread thread_;
};

}  // namespace berth::cli
