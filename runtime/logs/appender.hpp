#pragma once

// The writer of the agent's own small streams (an environment's build log, the agent's remarks about a job):
// the same file and index as a job's log, so that the same reader reads them.

#include <string>
#include <string_view>

#include "runtime/logs/log_cap.hpp"

namespace berth::logs {

class Appender {
 public:
  Appender(const std::string& log_path, const std::string& index_path, ByteSize limit,
           const Clock& clock = system_clock());
  ~Appender();
  Appender(const Appender&) = delete;
  Appender& operator=(const Appender&) = delete;

  // Throws Code::no_space on a full disk.
  void append(std::string_view text);
  // For a child process that writes the log itself; call observe() now and then while it does.
  const os::Fd& file() const { return log_; }
  bool observe() { return cap_.observe(); }

 private:
  os::Fd log_;
  LogCap cap_;
};

}  // namespace berth::logs
