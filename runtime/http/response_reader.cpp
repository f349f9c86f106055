#include "runtime/http/response_reader.hpp"

#include <algorithm>
#include <charconv>
#include <utility>

#include "runtime/base/error.hpp"

namespace berth::http {
namespace {

constexpr std::size_t kLongestLine = 16 << 10;
constexpr std::size_t kLargestHead = 64 << 10;

[[noreturn]] void malformed(std::string_view what) {
  throw Error(Code::invalid, "malformed answer: " + std::string(what));
}

std::optional<std::uint64_t> parse_number(std::string_view text, int base) {
  std::uint64_t value = 0;
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (text.empty() || failure != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

}  // namespace

ResponseReader::ResponseReader(bool bodyless, OnBody on_body) : bodyless_(bodyless), on_body_(std::move(on_body)) {}

std::size_t ResponseReader::feed(std::string_view bytes) {
  const auto offered = bytes.size();
  while (!bytes.empty() && !done()) {
    if (state_ == State::sized || state_ == State::chunk || state_ == State::to_end) {
      const auto n = state_ == State::to_end ? bytes.size() : std::min<std::uint64_t>(bytes.size(), remaining_);
      on_body_(bytes.substr(0, n));
      bytes.remove_prefix(n);
      if (state_ == State::to_end) continue;
      remaining_ -= n;
      if (remaining_ == 0) state_ = state_ == State::sized ? State::done : State::chunk_end;
      continue;
    }
    const auto end = bytes.find('\n');
    const auto n = end == std::string_view::npos ? bytes.size() : end + 1;
    partial_.append(bytes.substr(0, n));
    bytes.remove_prefix(n);
    if (partial_.size() > kLongestLine) malformed("an endless line");
    if (end == std::string_view::npos) break;
    partial_.pop_back();
    if (partial_.ends_with('\r')) partial_.pop_back();
    line(std::exchange(partial_, {}));
  }
  return offered - bytes.size();
}

void ResponseReader::line(std::string_view text) {
  switch (state_) {
    case State::status:
      status_line(text);
      break;
    case State::field:
      if (text.empty())
        head_complete();
      else
        field(text);
      break;
    case State::chunk_size:
      chunk_size(text);
      break;
    case State::chunk_end:
      if (!text.empty()) malformed("a chunk is longer than it says");
      state_ = State::chunk_size;
      break;
    case State::trailer:
      if (text.empty()) state_ = State::done;
      break;
    default:
      break;
  }
  head_bytes_ = state_ == State::field || state_ == State::trailer ? head_bytes_ + text.size() : 0;
  if (head_bytes_ > kLargestHead) malformed("an endless header");
}

void ResponseReader::status_line(std::string_view text) {
  const bool version = text.starts_with("HTTP/1.1 ") || text.starts_with("HTTP/1.0 ");
  const auto status = version ? parse_number(text.substr(9, 3), 10) : std::nullopt;
  if (!status || *status < 100) malformed("no HTTP/1 status line");
  status_ = static_cast<int>(*status);
  http_1_0_ = text[7] == '0';
  keep_alive_ = !http_1_0_;
  state_ = State::field;
}

void ResponseReader::field(std::string_view text) {
  const auto colon = text.find(':');
  if (colon == std::string_view::npos || colon == 0) malformed("a header field without a name");
  headers_.add(std::string(text.substr(0, colon)), std::string(trimmed(text.substr(colon + 1))));
}

void ResponseReader::head_complete() {
  if (status_ < 200) {
    continued_ = continued_ || status_ == 100;
    headers_ = Headers();
    state_ = State::status;
    return;
  }
  if (const auto connection = headers_.find("Connection"); connection && same_name(*connection, "close"))
    keep_alive_ = false;
  const auto coding = headers_.find("Transfer-Encoding");
  const auto length = headers_.find("Content-Length");
  if (bodyless_ || status_ == 204 || status_ == 304) {
    state_ = State::done;
  } else if (coding) {
    if (length || !same_name(*coding, "chunked")) malformed("an unknown transfer coding");
    state_ = State::chunk_size;
  } else if (length) {
    const auto size = parse_number(*length, 10);
    if (!size) malformed("a bad Content-Length");
    remaining_ = *size;
    state_ = remaining_ == 0 ? State::done : State::sized;
  } else {
    keep_alive_ = false;
    state_ = State::to_end;
  }
}

void ResponseReader::chunk_size(std::string_view text) {
  const auto size = parse_number(trimmed(text.substr(0, text.find(';'))), 16);
  if (!size) malformed("a bad chunk size");
  remaining_ = *size;
  state_ = remaining_ == 0 ? State::trailer : State::chunk;
}

void ResponseReader::end_of_input() {
  if (state_ == State::to_end) state_ = State::done;
  if (!done()) throw Error(Code::unavailable, "the connection ended before the answer was complete");
}

}  // namespace berth::http
