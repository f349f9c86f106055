#pragma once

// A request whose body is made while it is sent. A small one is collected and goes as one piece; a larger one
// goes from a thread of its own, so that making and sending overlap.

#include <condition_variable>
#include <exception>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <thread>

#include "runtime/http/client.hpp"

namespace berth::cli {

class Upload {
 public:
  // Both outlive this.
  Upload(http::Client& client, std::string target, std::string content_type);
  // Without finish() the request is broken off, and the receiver takes nothing.
  ~Upload();
  Upload(const Upload&) = delete;
  Upload& operator=(const Upload&) = delete;

  // The next bytes of the body. Throws what the receiver refused with, once it has.
  void take(std::string_view bytes);
  // The answer's body; throws what went wrong.
  std::string finish();

 private:
  void start();
  std::size_t produce(std::span<char> room);
  void send();

  http::Client& client_;
  std::string target_;
  std::string content_type_;
  std::thread thread_;

  std::mutex mutex_;  // all below, once the thread is there
  std::condition_variable changed_;
  std::string pending_;
  std::size_t taken_ = 0;  // of its beginning, already sent
  bool complete_ = false;
  bool broken_off_ = false;
  bool done_ = false;
  std::string answer_;
  std::exception_ptr failure_;
};

}  // namespace berth::cli
