#include "runtime/http/session.hpp"

#include <algorithm>
#include <array>
#include <boost/asio/cancellation_state.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <charconv>
#include <utility>

#include "runtime/async/deadline.hpp"
#include "runtime/base/error.hpp"
#include "runtime/http/error_json.hpp"

namespace berth::http {
namespace {

constexpr std::size_t kSmallBuffer = 4 << 10;   // what an idle connection keeps
constexpr std::size_t kLargeBuffer = 64 << 10;  // for chunked bodies
constexpr std::size_t kLingerBytes = 1 << 20;
constexpr std::chrono::milliseconds kLingerTime{500};
constexpr std::chrono::milliseconds kNoLimit{0};
constexpr std::size_t kProgress = 64 << 10;  // of a body, in each body_time that is waited for it

void append_number(std::string& text, std::uint64_t value, int base = 10) {
  std::array<char, 24> digits;
  const auto end = std::to_chars(digits.begin(), digits.end(), value, base).ptr;
  text.append(digits.data(), end);
}

void append_field(std::string& text, std::string_view name, std::string_view value) {
  ((text += name) += ": ") += value;
  text += "\r\n";
}

void append_length(std::string& text, std::uint64_t length) {
  text += "Content-Length: ";
  append_number(text, length);
  text += "\r\n";
}

Response with_status(const Error& error, int status) { return Response::json(to_json(error), status); }

}  // namespace

// The body of the current request, read from the session's buffer and then from the socket.
class Session::RequestBody : public Body {
 public:
  RequestBody(Session& session, const RequestHead& head)
      : session_(session),
        length_(head.length),
        remaining_(head.length.value_or(0)),
        chunked_(head.chunked),
        must_continue_(head.expects_continue) {}

  std::optional<std::uint64_t> length() const override { return length_; }

  async::Task<std::size_t> read_some(std::span<char> buffer) override {
    if (buffer.empty() || done()) co_return 0;
    if (must_continue_ && session_.unread().empty()) {
      std::array<std::string_view, 1> pieces{"HTTP/1.1 100 Continue\r\n\r\n"};
      co_await session_.flush(pieces, session_.host_.limits().body_time);
    }
    must_continue_ = false;
    if (chunked_) co_return co_await read_chunked(buffer);
    co_return co_await read_plain(buffer);
  }

  // Whether nothing is left to read.
  bool done() const { return chunked_ ? session_.parser_.body_done() : remaining_ == 0; }

  // Whether the connection can serve another request, once bytes that have arrived already are dropped.
  bool skip_rest() {
    if (done()) return true;
    if (chunked_ || must_continue_ || remaining_ > session_.unread().size()) return false;
    session_.take(static_cast<std::size_t>(std::exchange(remaining_, 0)));
    return true;
  }

 private:
  async::Task<std::size_t> read_plain(std::span<char> buffer) {
    const auto room = buffer.first(std::min<std::uint64_t>(buffer.size(), remaining_));
    std::size_t n = std::min(room.size(), session_.unread().size());
    if (n > 0) {
      std::copy_n(session_.unread().data(), n, room.data());
      session_.take(n);
    } else {
      const auto begin = std::chrono::steady_clock::now();
      n = co_await session_.receive(room, patience());
      note_wait(begin, n);
      if (n == 0) throw cut_off();
    }
    remaining_ -= n;
    co_return n;
  }

  async::Task<std::size_t> read_chunked(std::span<char> buffer) {
    while (true) {
      const auto progress = session_.parser_.feed_chunked(session_.unread(), buffer);
      session_.take(progress.taken);
      if (progress.produced > 0 || done()) co_return progress.produced;
      if (session_.unread().size() >= kLargeBuffer)
        throw Error(Code::invalid, "malformed request: an endless chunk header");
      if (session_.buffer_.size() < kLargeBuffer) session_.buffer_.resize(kLargeBuffer);
      const auto begin = std::chrono::steady_clock::now();
      const auto filled = co_await session_.fill(patience());
      note_wait(begin, filled);
      if (filled == 0) throw cut_off();
    }
  }

  // Who sends a byte now and then makes no progress.
  std::chrono::milliseconds patience() const {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(session_.host_.limits().body_time - waited_);
    return std::max(left, std::chrono::milliseconds(1));
  }
  void note_wait(Steady begin, std::size_t received) {
    waited_ += std::chrono::steady_clock::now() - begin;
    received_ += received;
    if (received_ < kProgress) return;
    waited_ = {};
    received_ = 0;
  }

  static Error cut_off() { return Error(Code::io, "the client went away before the request's body was complete"); }

  Session& session_;
  std::optional<std::uint64_t> length_;
  std::uint64_t remaining_;
  bool chunked_;
  bool must_continue_;
  std::chrono::nanoseconds waited_{};  // for the bytes since the last progress
  std::size_t received_ = 0;
};

class Session::ChunkedStream : public Stream {
 public:
  // The header, in session.head_ already, goes out with the first chunk.
  ChunkedStream(Session& session, bool chunked, std::chrono::milliseconds limit)
      : session_(session), chunked_(chunked), limit_(limit) {}

  bool begun() const { return begun_; }

  async::Task<> write(std::string_view bytes) override {
    if (begun_) session_.head_.clear();
    begun_ = true;
    std::string_view end;
    if (chunked_ && !bytes.empty()) {
      append_number(session_.head_, bytes.size(), 16);
      session_.head_ += "\r\n";
      end = "\r\n";
    }
    std::array<std::string_view, 3> pieces{session_.head_, bytes, end};
    co_await session_.flush(pieces, limit_, Limit::all);
  }

  async::Task<> finish() {
    if (begun_) session_.head_.clear();
    begun_ = true;
    if (chunked_) session_.head_ += "0\r\n\r\n";
    std::array<std::string_view, 1> pieces{session_.head_};
    co_await session_.flush(pieces, session_.host_.limits().body_time);
  }

 private:
  Session& session_;
  bool chunked_;
  std::chrono::milliseconds limit_;  // of a write
  bool begun_ = false;
};

Session::Session(SessionHost& host, std::unique_ptr<Connection> connection)
    : host_(host),
      connection_(std::move(connection)),
      peer_(connection_->peer()),
      source_(source_of(peer_)),
      parser_(host.limits().header, host.limits().fields),
      buffer_(kSmallBuffer, '\0') {}

void Session::stop() {
  stopping_ = true;
  if (idle_) connection_->end_input();
  if (streaming_) connection_->cancel();
}

bool Session::leave() {
  if (!idle() || connection_->has_input()) return false;
  leaving_ = true;
  stopping_ = true;
  connection_->end_input();
  return true;
}

std::optional<Steady> Session::expire(Steady now) {
  if (!due_ || *due_ > now) return due_;
  due_.reset();
  late_ = true;
  connection_->cancel();
  return std::nullopt;
}

async::Task<> Session::serve() {
  try {
    if (connection_->must_open()) co_await this->open();
    bool open = true;
    while (open) {
      open = co_await next_request();
      if (open) open = co_await answer();
      // A client that sends requests in heaps gets its turn like everybody else.
      if (open && !unread().empty()) co_await boost::asio::post(boost::asio::use_awaitable);
    }
  } catch (const Error&) {
    if (!connection_->broken() && !late_) throw;  // a client that left or fell silent is nobody's failure
  }
}

// For as long as it is not open it counts as idle: it gives way to others.
async::Task<> Session::open() {
  set_due(host_.limits().handshake_time);
  idle_ = true;
  try {
    co_await connection_->open();
  } catch (const Cancelled&) {
    due_.reset();
    if (!late_) throw;
    throw Error(Code::timeout, "the client did not say in time how to talk");
  }
  idle_ = false;
  due_.reset();
  peer_ = connection_->peer();
}

// Reads a request's header; what is wrong with it is answered here and ends the connection. False: no more
// requests.
async::Task<bool> Session::next_request() {
  std::optional<Response> refusal;
  try {
    co_return co_await read_head();
  } catch (const Error& error) {
    if (connection_->broken()) throw;
    if (late_ && !parser_.begun()) co_return false;  // it was idle for too long
    const int status = late_ ? 408 : error.code() == Code::too_large ? 431 : http_status(error.code());
    refusal = with_status(error, status);
  }
  late_ = false;
  begin_head(*refusal, false);
  append_length(head_, refusal->body().size());
  head_ += "\r\n";
  std::array<std::string_view, 2> pieces{head_, refusal->body()};
  co_await flush(pieces, host_.limits().body_time);
  co_await linger();
  co_return false;
}

async::Task<bool> Session::read_head() {
  parser_.reset();
  if (unread().empty() && buffer_.size() > kSmallBuffer) {
    buffer_ = std::string(kSmallBuffer, '\0');
    begin_ = end_ = 0;
  }
  std::optional<Steady> due;
  while (true) {
    // A client may send an empty line after a body (RFC 9112, 2.2).
    while (!parser_.begun() && unread().starts_with("\r\n")) take(2);
    if (!unread().empty()) take(parser_.feed_head(unread()));
    if (parser_.head_done()) co_return true;
    if (stopping_) co_return false;
    std::size_t n = 0;
    if (!parser_.begun()) {
      // What arrives stays where leave() sees it until it is taken.
      idle_ = true;
      co_await until_readable(host_.limits().idle_time);
      idle_ = false;
      n = co_await fill(kNoLimit);
    } else {
      const auto now = std::chrono::steady_clock::now();
      if (!due) due = now + host_.limits().header_time;
      const auto left = std::chrono::ceil<std::chrono::milliseconds>(*due - now);
      n = co_await fill(std::max(left, std::chrono::milliseconds(1)));
    }
    if (n == 0) co_return false;
  }
}

// Whether the connection serves on.
async::Task<bool> Session::answer() {
  auto& head = parser_.head();
  RequestBody body(*this, head);
  Request request(body);
  request.method = std::move(head.method);
  request.path = std::move(head.target);
  request.headers = std::move(head.headers);
  request.peer = peer_;
  MemoryBudget::Share memory(host_.memory(), source_);
  if (!host_.limits().trusted(peer_)) request.memory = &memory;
  const Response response = co_await respond(request);
  if (connection_->broken()) co_return false;
  if (response.writer() && request.method != "HEAD") co_return co_await send_stream(request, response, body);
  co_return co_await send(request, response, body);
}

async::Task<Response> Session::respond(Request& request) {
  std::exception_ptr failure;
  try {
    auto target = parse_target(request.path);
    request.path = std::move(target.path);
    request.query = std::move(target.query);
    auto match = host_.router().find(request.method, target.segments);
    if (match.handler != nullptr) {
      request.parameters = std::move(match.parameters);
      const auto share = co_await host_.share(peer_);
      auto response = co_await (*match.handler)(request);
      // What it was read into is gone; the answer stays until the client has taken it.
      if (request.memory != nullptr) {
        request.memory->give_back();
        request.memory->take(response.body().size());
      }
      co_return response;
    }
    if (match.allow.empty()) co_return Response::failure(Error(Code::not_found, "no such resource: " + request.path));
    auto refusal = with_status(Error(Code::invalid, request.path + " does not allow " + request.method), 405);
    refusal.set("Allow", std::move(match.allow));
    co_return refusal;
  } catch (...) {
    failure = std::current_exception();
  }
  const auto state = co_await async::this_coro::cancellation_state;
  if (state.cancelled() != boost::asio::cancellation_type::none) throw Cancelled();
  co_return failure_response(failure);
}

Response Session::failure_response(const std::exception_ptr& failure) {
  if (late_) return with_status(Error(Code::timeout, "the request's body did not arrive in time"), 408);
  if (async::is_cancellation(failure))
    return Response::failure(Error(Code::unavailable, "stopped before it was done", "try again"));
  const auto error = error_from(failure);
  if (error.code() == Code::internal) host_.report(failure);
  return Response::failure(error);
}

// Whether another request may follow on this connection.
bool Session::may_keep(RequestBody& body) {
  const auto& head = parser_.head();
  return body.skip_rest() && head.keep_alive && !head.http_1_0 && !stopping_ && !late_;
}

async::Task<bool> Session::send(const Request& request, const Response& response, RequestBody& body) {
  const bool keep = may_keep(body);
  const bool no_content = response.status() == 204 || response.status() == 304;
  std::optional<std::uint64_t> length;
  if (!no_content && !response.writer()) length = response.body().size();
  begin_head(response, keep);
  if (length) append_length(head_, *length);
  if (response.writer() && !parser_.head().http_1_0) append_field(head_, "Transfer-Encoding", "chunked");
  head_ += "\r\n";
  std::string_view content;
  if (length && request.method != "HEAD") content = response.body();
  std::array<std::string_view, 2> pieces{head_, content};
  co_await flush(pieces, host_.limits().body_time);
  if (!keep && !body.done()) co_await linger();
  co_return keep;
}

async::Task<bool> Session::send_stream(const Request& request, const Response& response, RequestBody& body) {
  const bool chunked = !parser_.head().http_1_0;
  const bool keep = may_keep(body);
  begin_head(response, keep);
  if (chunked) append_field(head_, "Transfer-Encoding", "chunked");
  head_ += "\r\n";

  ChunkedStream stream(*this, chunked, response.leaves_slow_readers() ? host_.limits().body_time : kNoLimit);
  bool client_gone = false;
  std::exception_ptr failure;
  streaming_ = true;
  try {
    if (stopping_) throw Cancelled();
    client_gone = co_await async::run_until(response.writer()(stream), connection_->gone());
  } catch (...) {
    failure = std::current_exception();
  }
  streaming_ = false;

  const auto state = co_await async::this_coro::cancellation_state;
  if (state.cancelled() != boost::asio::cancellation_type::none) throw Cancelled();
  if (client_gone || connection_->broken() || late_) co_return false;
  if (!failure) {
    co_await stream.finish();
    co_return keep && !stopping_;
  }
  if (!stream.begun()) {
    const Response refusal = failure_response(failure);
    co_return co_await send(request, refusal, body);
  }
  // Without its last chunk the client sees that the body is not complete.
  if (!async::is_cancellation(failure)) host_.report(failure);
  co_return false;
}

// Reads on a little after a refusal that leaves input unread, so that a client which is still sending gets to
// see the answer.
async::Task<> Session::linger() {
  connection_->end_output();
  std::string scrap(kLargeBuffer, '\0');
  const auto end = std::chrono::steady_clock::now() + kLingerTime;
  for (std::size_t dropped = 0; dropped < kLingerBytes;) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(end - std::chrono::steady_clock::now());
    if (left <= kNoLimit) co_return;
    const auto n = co_await receive(scrap, left);
    if (n == 0) co_return;
    dropped += n;
  }
}

// Waits for input; a limit of 0 is none.
async::Task<std::size_t> Session::receive(std::span<char> buffer, std::chrono::milliseconds limit) {
  set_due(limit);
  std::size_t n = 0;
  try {
    n = co_await connection_->read_some(buffer);
  } catch (const Cancelled&) {
    due_.reset();
    if (!late_) throw;
    throw Error(Code::timeout, "the client sent nothing for too long");
  }
  due_.reset();
  co_return n;
}

async::Task<> Session::until_readable(std::chrono::milliseconds limit) {
  set_due(limit);
  try {
    co_await connection_->readable();
  } catch (const Cancelled&) {
    due_.reset();
    if (!late_) throw;
    throw Error(Code::timeout, "the client sent nothing for too long");
  }
  due_.reset();
}

// Waits for input behind what is unread.
async::Task<std::size_t> Session::fill(std::chrono::milliseconds limit) {
  if (begin_ > 0) {
    std::copy(buffer_.begin() + static_cast<std::ptrdiff_t>(begin_),
              buffer_.begin() + static_cast<std::ptrdiff_t>(end_), buffer_.begin());
    end_ -= begin_;
    begin_ = 0;
  }
  if (end_ == buffer_.size()) buffer_.resize(buffer_.size() * 2);
  const auto n = co_await receive(std::span(buffer_).subspan(end_), limit);
  end_ += n;
  co_return n;
}

void Session::take(std::size_t n) {
  begin_ += n;
  if (begin_ == end_) begin_ = end_ = 0;
}

async::Task<> Session::flush(std::span<std::string_view> pieces, std::chrono::milliseconds limit, Limit of) {
  std::optional<Steady> end;
  while (true) {
    if (connection_->send_some(pieces)) co_return;
    if (!end) end = std::chrono::steady_clock::now() + limit;
    set_due(limit);
    if (due_ && of == Limit::all) due_ = *end;
    try {
      co_await connection_->writable();
    } catch (const Cancelled&) {
      due_.reset();
      if (!late_) throw;
      throw Error(Code::timeout, "the client read nothing for too long");
    }
    due_.reset();
  }
}

void Session::set_due(std::chrono::milliseconds limit) {
  if (limit == kNoLimit) return;
  due_ = std::chrono::steady_clock::now() + limit;
  host_.watch(*due_);
}

void Session::begin_head(const Response& response, bool keep) {
  head_ = "HTTP/1.1 ";
  append_number(head_, static_cast<std::uint64_t>(response.status()));
  (head_ += ' ') += reason_phrase(response.status());
  head_ += "\r\n";
  if (!response.content_type().empty()) append_field(head_, "Content-Type", response.content_type());
  for (const auto& [name, value] : response.headers()) append_field(head_, name, value);
  if (!keep) append_field(head_, "Connection", "close");
}

}  // namespace berth::http
