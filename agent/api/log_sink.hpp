#pragma once

// Where a log goes on its way to a reader: what reads it, what masks it and what sends it pass it on in frames, so that
// the place of each byte is known up to the end.

#include <functional>
#include <string>

#include "agent/model/log_frame.hpp"
#include "runtime/async/task.hpp"
#include "runtime/http/request.hpp"
#include "runtime/http/response.hpp"

namespace berth::api {

class LogSink {
 public:
  virtual ~LogSink() = default;
  // The reader is to know that he is connected, though there may be nothing to send yet.
  virtual async::Task<> open() = 0;
  // Returns when the kernel has taken it; the text is the caller's and lives until then.
  virtual async::Task<> take(model::LogFrame frame) = 0;
  // The log that the frames so far are of is over: what is taken next is of another one.
  virtual async::Task<> finish() = 0;
};

// Passes a log on, from where it is wanted to its end.
using LogWriter = std::function<async::Task<>(LogSink& out)>;

// How it is sent: the text alone, or the frames with their offsets, for readers that go on after an interruption.
enum class LogForm { text, frames };

// As the request asks for it by its Accept; text otherwise.
LogForm log_form(const http::Request& request);
http::Response log_response(LogForm form, LogWriter writer);
// Of a log that there is not yet, or will never be.
http::Response no_log_response(LogForm form);

}  // namespace berth::api
