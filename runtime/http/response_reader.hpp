#pragma once

// Parses one HTTP/1.1 response from bytes, incrementally; the client's half of the protocol, small enough to
// cost nothing at a program's start. Interim (1xx) responses are passed over.

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "runtime/http/headers.hpp"

namespace berth::http {

class ResponseReader {
 public:
  using OnBody = std::function<void(std::string_view piece)>;

  // `bodyless`: the answer to a HEAD. `on_body` gets the decoded body as it arrives.
  ResponseReader(bool bodyless, OnBody on_body);

  // Takes bytes of this response and returns how many; after done() it takes nothing. Error(Code::invalid)
  // for what is not HTTP.
  std::size_t feed(std::string_view bytes);
  // The connection ended: the end of a body without a length, else Error(Code::unavailable).
  void end_of_input();

  bool head_done() const { return state_ != State::status && state_ != State::field; }
  bool done() const { return state_ == State::done; }
  bool continued() const { return continued_; }  // a "100 Continue" came
  bool keep_alive() const { return keep_alive_; }
  int status() const { return status_; }
  const Headers& headers() const { return headers_; }

 private:
  enum class State { status, field, sized, to_end, chunk_size, chunk, chunk_end, trailer, done };

  void line(std::string_view text);
  void status_line(std::string_view text);
  void field(std::string_view text);
  void head_complete();
  void chunk_size(std::string_view text);

  bool bodyless_;
  OnBody on_body_;
  State state_ = State::status;
  std::string partial_;  // of a line
  std::size_t head_bytes_ = 0;
  std::uint64_t remaining_ = 0;
  int status_ = 0;
  bool http_1_0_ = false;
  bool keep_alive_ = true;
  bool continued_ = false;
  Headers headers_;
};

}  // namespace berth::http
