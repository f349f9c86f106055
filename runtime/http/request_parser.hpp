#pragma once

// Parses requests from bytes; knows nothing of sockets. The only user of Beast hides behind this.

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "runtime/base/units.hpp"
#include "runtime/http/headers.hpp"

namespace berth::http {

struct RequestHead {
  std::string method;
  std::string target;
  Headers headers;
  std::optional<std::uint64_t> length;  // of the body, where announced
  bool chunked = false;
  bool keep_alive = false;
  bool expects_continue = false;
  bool http_1_0 = false;
};

class RequestParser {
 public:
  // `header`: bytes of request line and fields together; `fields`: their number.
  RequestParser(ByteSize header, std::size_t fields);
  ~RequestParser();

  // For the next request.
  void reset();

  // Takes bytes of the header and returns how many; the rest must be offered again, with more behind them.
  // Throws Error: invalid for what is not HTTP/1, too_large above a limit, unsupported for a transfer coding
  // but chunked.
  std::size_t feed_head(std::string_view bytes);
  bool head_done() const;
  bool begun() const;  // a byte of this request was seen
  RequestHead& head();

  // Decodes a chunked body: takes bytes, fills `out`.
  struct Progress {
    std::size_t taken = 0;
    std::size_t produced = 0;
  };
  Progress feed_chunked(std::string_view bytes, std::span<char> out);
  bool body_done() const;

 private:
  class Machine;
  ByteSize header_;
  std::size_t fields_;
  std::size_t taken_ = 0;
  std::unique_ptr<Machine> machine_;
};

}  // namespace berth::http
