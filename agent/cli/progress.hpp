#pragma once

// How far a long transfer is: a bar on a terminal when there is much to send, else one line when it took
// long.

#include <chrono>
#include <cstdint>
#include <string>

namespace berth::cli {

class Progress {
 public:
  explicit Progress(std::string what);
  // Wipes the bar.
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  // Bytes done and in all.
  void update(std::uint64_t done, std::uint64_t total);
  // The line for what took long: "sent 1.2 GiB in 14 seconds".
  void finish(const std::string& sentence);

 private:
  using Clock = std::chrono::steady_clock;
  std::string what_;
  bool terminal_;
  bool shown_ = false;
  Clock::time_point begin_ = Clock::now();
  Clock::time_point drawn_{};
};

// "sending code  [#########           ]  45%  12 MiB of 27 MiB".
std::string progress_bar(const std::string& what, std::uint64_t done, std::uint64_t total);

}  // namespace berth::cli
