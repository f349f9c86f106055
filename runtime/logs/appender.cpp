#include "runtime/logs/appender.hpp"

#include <fcntl.h>

#include "runtime/base/error.hpp"
#include "runtime/base/text.hpp"

namespace berth::logs {

Appender::Appender(const std::string& log_path, const std::string& index_path, ByteSize limit, const Clock& clock)
    : log_(os::open(log_path, O_WRONLY | O_CREAT | O_APPEND, 0600)), cap_(log_, index_path, limit, clock) {}

Appender::~Appender() {
  try {
    cap_.finish();
  } catch (const Error&) {  // the log is complete; only its last time is missing
  }
}

void Appender::append(std::string_view text) {
  os::write_all(log_, text);
  cap_.observe();
}

}  // namespace berth::logs
