#pragma once

// One connection from its first request to its last, over any transport: reads a request, has it answered, and again.

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/async/shares.hpp"
#include "runtime/async/task.hpp"
#include "runtime/base/clock.hpp"
#include "runtime/http/allowance.hpp"
#include "runtime/http/connection.hpp"
#include "runtime/http/request_parser.hpp"
#include "runtime/http/server.hpp"

namespace berth::http {

// What a session needs of its server, which outlives it.
class SessionHost {
 public:
  virtual ~SessionHost() = default;
  virtual const Router& router() const = 0;
  virtual const Limits& limits() const = 0;
  virtual void report(std::exception_ptr failure) = 0;
  virtual MemoryBudget& memory() = 0;
  // A client's share of the requests that are answered at a time, of what his source may have.
  virtual async::Task<async::Shares::Share> share(const Peer& peer) = 0;
  // Sees to it that expire() is called once `due` has passed, if the session still waits then.
  virtual void watch(Steady due) = 0;
};

class Session {
 public:
  Session(SessionHost& host, std::unique_ptr<Connection> connection);

  // Until the connection ends.
  async::Task<> serve();

  // The current request is the last one: an idle connection ends, a stream is cut, a handler finishes.
  void stop();
  // Ends an idle connection; false when it is none any more, because a request has arrived.
  bool leave();
  Source source() const { return source_; }
  bool idle() const { return idle_ && !leaving_; }
  bool leaving() const { return leaving_; }
  // Ends the wait whose time is up; the next due time if it is not up yet.
  std::optional<Steady> expire(Steady now);

 private:
  class RequestBody;
  class ChunkedStream;

  async::Task<> open();
  async::Task<bool> next_request();
  async::Task<bool> read_head();
  async::Task<bool> answer();
  async::Task<Response> respond(Request& request);
  Response failure_response(const std::exception_ptr& failure);
  // These tell whether the connection serves on.
  async::Task<bool> send(const Request& request, const Response& response, RequestBody& body);
  async::Task<bool> send_stream(const Request& request, const Response& response, RequestBody& body);
  bool may_keep(RequestBody& body);
  void begin_head(const Response& response, bool keep);
  async::Task<> linger();

  async::Task<std::size_t> receive(std::span<char> buffer, std::chrono::milliseconds limit);
  async::Task<> until_readable(std::chrono::milliseconds limit);
  async::Task<std::size_t> fill(std::chrono::milliseconds limit);
  enum class Limit { each_wait, all };  // what the limit is of
  async::Task<> flush(std::span<std::string_view> pieces, std::chrono::milliseconds limit, Limit of = Limit::each_wait);
  void set_due(std::chrono::milliseconds limit);
  std::string_view unread() const { return std::string_view(buffer_).substr(begin_, end_ - begin_); }
  void take(std::size_t n);

  SessionHost& host_;
  const std::unique_ptr<Connection> connection_;
  Peer peer_;
  const Source source_;
  RequestParser parser_;
  std::string buffer_;  // received and not yet used: [begin_, end_)
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
  std::string head_;  // of the response being sent
  std::optional<Steady> due_;
  bool idle_ = false;
  bool streaming_ = false;
  bool stopping_ = false;
  bool leaving_ = false;
  bool late_ = false;  // the client did not keep a time limit
};

}  // namespace berth::http
