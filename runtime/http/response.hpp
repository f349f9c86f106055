#pragma once

// What a handler answers: a status and a body in memory, or a function that streams the body.

#include <functional>
#include <string>
#include <string_view>

#include "runtime/async/task.hpp"
#include "runtime/base/error.hpp"
#include "runtime/http/headers.hpp"

namespace berth::http {

// The body of a response in the making.
class Stream {
 public:
  virtual ~Stream() = default;
  // Sends one chunk and returns when the kernel has taken it; there is no time limit on a slow reader, unless the
  // response has one. An empty write sends the header alone, if nothing was sent yet.
  virtual async::Task<> write(std::string_view bytes) = 0;
};

class Response {
 public:
  // Streams the body. It is stopped (every co_await throws) when the client goes away, even while it writes
  // nothing, and when the server stops. What it throws before the first write is answered like any handler's
  // failure; later, the connection is cut so that the client knows the body is incomplete.
  using Writer = std::function<async::Task<>(Stream&)>;

  static Response json(std::string body, int status = 200);
  static Response text(std::string body, int status = 200);
  static Response empty(int status = 204);
  static Response with_type(std::string content_type, std::string body, int status = 200);
  static Response stream(std::string content_type, Writer writer, int status = 200);
  static Response failure(const Error& error);

  // A reader who does not take a chunk of the stream within the server's body_time is left: the stream is of what costs
  // room for as long as it lasts.
  Response& leave_slow_readers();

  // Further fields; Content-Type, Content-Length, Transfer-Encoding and Connection are the server's business.
  Response& set(std::string name, std::string value);

  int status() const { return status_; }
  const std::string& content_type() const { return content_type_; }
  const std::string& body() const { return body_; }
  const Headers& headers() const { return headers_; }
  const Writer& writer() const { return writer_; }
  bool leaves_slow_readers() const { return leaves_slow_readers_; }

 private:
  explicit Response(int status) : status_(status) {}

  int status_;
  std::string content_type_;
  std::string body_;
  Headers headers_;
  Writer writer_;
  bool leaves_slow_readers_ = false;
};

// "Not Found" for 404.
std::string_view reason_phrase(int status);

}  // namespace berth::http
