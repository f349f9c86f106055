#pragma once

// A blocking HTTP/1.1 client over one connection, a unix socket by default: for the command line and for
// threads of a pool. It connects on first use and keeps the connection. No loop, no Asio: starting one costs
// nothing.

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>

#include "runtime/base/error.hpp"
#include "runtime/http/headers.hpp"
#include "runtime/http/wire.hpp"

namespace berth::http {

class ResponseReader;

// A response of a status below 400; others are thrown as the Error they carry.
struct Answer {
  int status = 0;
  Headers headers;
  std::string body;
};

// May the request be sent again when a kept connection turns out to be closed before any byte of the
// response? by_method: yes for GET, HEAD, PUT, DELETE, OPTIONS.
enum class Repeatable { by_method, yes, no };

class Client {
 public:
  struct Options {
    // For messages: what should be listening, and what to do when it is not.
    std::string server_name = "agent";
    std::string absent_hint = "is berthd running?";
    // What it is for the node that nothing listens, or that it breaks off or does not answer.
    Lack absence = Lack::nothing;
    // The longest silence of the server before Error(Code::timeout); none for ever.
    Patience patience;
    std::uint64_t largest_answer = 64U << 20;  // of a body kept in memory
    std::string host = "localhost";            // the Host field
    // Of a server that ends may start anew: what may be sent again is, once, where it ended before any byte of the
    // response on a new connection, too.
    bool may_restart = false;
    // Asked to stop, even while the server is silent: Cancelled, and the connection is closed.
    std::stop_token stop;
  };

  explicit Client(std::string socket_path);
  Client(std::string socket_path, Options options);
  Client(Connect connect, Options options);

  Answer request(std::string_view method, std::string_view target, std::string_view body = {},
                 std::string_view content_type = "application/json", Repeatable repeatable = Repeatable::by_method);

  // Hands the body on as it arrives; on_chunk returns false to stop, which closes the connection. The
  // answer's body is empty.
  using OnChunk = std::function<bool(std::string_view chunk)>;
  Answer stream(std::string_view method, std::string_view target, const OnChunk& on_chunk, std::string_view body = {},
                std::string_view content_type = "application/json");
  // Told the header of an answer whose body is handed on, before the body's first byte.
  using OnHead = std::function<void(const Headers& headers)>;

  // Sends a body from a producer, which fills the buffer and returns how much; 0 ends it. Without a length
  // the body goes in chunks. A server that refuses is heard before much is sent.
  using Producer = std::function<std::size_t(std::span<char> buffer)>;
  Answer upload(std::string_view method, std::string_view target, std::optional<std::uint64_t> length,
                const Producer& producer, std::string_view content_type = "application/octet-stream");

  // For servers that are not ours: fields of the caller's, and every status is an answer, whose body is kept
  // when it is a failure (>= 400) or there is no `on_chunk`.
  struct Request {
    std::string_view method;
    std::string_view target;
    Headers headers;
    std::string_view body = {};
    std::string_view content_type = "application/json";
    const Producer* producer = nullptr;  // in place of the body, in chunks
    const OnChunk* on_chunk = nullptr;
    const OnHead* on_head = nullptr;
  };
  Answer ask(const Request& request);
  // The same where a failure is thrown.
  Answer stream(const Request& request);

  // Closes the connection; the next request makes a new one.
  void close();

 private:
  struct Outgoing;
  Outgoing outgoing(const Request& request) const;
  Answer exchange(const Outgoing& outgoing, const OnChunk* on_chunk);
  Answer answer_to(const Outgoing& outgoing, const OnChunk* on_chunk);
  Answer attempt(const Outgoing& outgoing, const OnChunk* on_chunk);
  bool send(std::string_view head, std::string_view body);
  bool send_produced(const Outgoing& outgoing, ResponseReader& reader);
  std::size_t receive_into(ResponseReader& reader);
  bool readable_within(int milliseconds) const;
  template <class Ready>
  void watch_for_stop(Ready ready) const;

  Connect connect_;
  Options options_;
  std::unique_ptr<Wire> wire_;
  std::string buffer_;
  bool connected_ = false;     // the last request found a server
  bool answer_began_ = false;  // a byte of the current answer has arrived
};

}  // namespace berth::http
