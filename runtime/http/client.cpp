#include "runtime/http/client.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <utility>
#include <vector>

#include "runtime/base/error.hpp"
#include "runtime/base/text.hpp"
#include "runtime/base/units.hpp"
#include "runtime/http/error_json.hpp"
#include "runtime/http/response_reader.hpp"

namespace berth::http {
namespace {

constexpr std::size_t kBlock = 64 << 10;
constexpr std::size_t kUploadBlock = 256 << 10;
constexpr std::uint64_t kAskFirst = 1 << 20;  // uploads above wait for the server's consent
constexpr int kConsentMilliseconds = 1000;    // a server that ignores "Expect" gets the body after this
constexpr std::uint64_t kLargestFailure = 1 << 20;
constexpr std::chrono::milliseconds kStopSeenWithin{100};

bool idempotent(std::string_view method) {
  return method == "GET" || method == "HEAD" || method == "PUT" || method == "DELETE" || method == "OPTIONS";
}

bool connection_lost(int error_number) { return error_number == EPIPE || error_number == ECONNRESET; }

}  // namespace

struct Client::Outgoing {
  Outgoing(std::string_view verb, std::string_view target, std::string_view host) : method(verb) {
    if (!target.starts_with('/') || std::ranges::any_of(target, [](char c) { return c <= ' ' || c == 0x7f; }))
      throw Error(Code::internal, "a malformed request target: " + printable(target));
    head = std::string(verb) + " " + std::string(target) + " HTTP/1.1\r\nHost: " + std::string(host) + "\r\n";
  }

  void add(std::string_view name, std::string_view value) {
    if (std::ranges::any_of(value, [](char c) { return c == '\r' || c == '\n' || c == '\0'; }))
      throw Error(Code::invalid, "a line end in the header field " + std::string(name));
    ((head += name) += ": ") += value;
    head += "\r\n";
  }

  // Ends the head. No length: chunks.
  void add_content(std::string_view type, std::optional<std::uint64_t> size) {
    const bool none = size == std::uint64_t{0} && (method == "GET" || method == "HEAD" || method == "DELETE");
    if (!none) {
      add("Content-Type", type);
      if (size)
        add("Content-Length", std::to_string(*size));
      else
        add("Transfer-Encoding", "chunked");
    }
    head += "\r\n";
  }

  std::string_view method;
  std::string head;
  std::string_view body;
  const Producer* producer = nullptr;
  const OnHead* on_head = nullptr;
  std::optional<std::uint64_t> length;
  bool asks_first = false;
  bool repeatable = false;
};

Client::Client(std::string socket_path) : Client(std::move(socket_path), Options()) {}
Client::Client(std::string socket_path, Options options)
    : connect_([path = std::move(socket_path), options] {
        return connect_unix(path, options.server_name, options.absent_hint, options.patience);
      }),
      options_(std::move(options)) {}
Client::Client(Connect connect, Options options) : connect_(std::move(connect)), options_(std::move(options)) {}

void Client::close() { wire_.reset(); }

// Waits until `ready` for as long as nobody asks to stop; without anybody who could, not at all.
template <class Ready>
void Client::watch_for_stop(Ready ready) const {
  if (!options_.stop.stop_possible()) return;
  const auto since = std::chrono::steady_clock::now();
  while (!options_.stop.stop_requested()) {
    if (ready(kStopSeenWithin)) return;
    if (options_.patience && std::chrono::steady_clock::now() - since > *options_.patience)
      throw Error(Code::timeout, "the " + options_.server_name + " does not answer");
  }
  throw Cancelled();
}

// False when the server has closed the connection; it may have sent an answer before.
bool Client::send(std::string_view head, std::string_view body) {
  while (!head.empty() || !body.empty()) {
    watch_for_stop([&](auto time) { return wire_->writable_within(time); });
    const auto n = wire_->send(head, body);
    if (n < 0) {
      if (errno == EINTR) continue;
      if (connection_lost(errno)) return false;
      if (errno == EAGAIN) throw Error(Code::timeout, "the " + options_.server_name + " does not take the request");
      throw_errno("send to", "the " + options_.server_name);
    }
    const auto sent = static_cast<std::size_t>(n);
    const auto of_head = std::min(sent, head.size());
    head.remove_prefix(of_head);
    body.remove_prefix(sent - of_head);
  }
  return true;
}

bool Client::readable_within(int milliseconds) const {
  return wire_->readable_within(std::chrono::milliseconds(milliseconds));
}

// Waits for bytes and hands them to the reader; 0 when the server has closed the connection.
std::size_t Client::receive_into(ResponseReader& reader) {
  buffer_.resize(kBlock);
  while (true) {
    watch_for_stop([&](auto time) { return wire_->readable_within(time); });
    const auto n = wire_->receive(buffer_);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) throw Error(Code::timeout, "the " + options_.server_name + " does not answer");
    if (n < 0 && !connection_lost(errno)) throw_errno("read from", "the " + options_.server_name);
    if (n <= 0) return 0;
    answer_began_ = true;
    const auto size = static_cast<std::size_t>(n);
    if (reader.feed(std::string_view(buffer_).substr(0, size)) != size)
      throw Error(Code::invalid, "the " + options_.server_name + " sent more than one answer");
    return size;
  }
}

// Whether the whole body was sent: a server that refuses is heard before that.
bool Client::send_produced(const Outgoing& outgoing, ResponseReader& reader) {
  if (outgoing.asks_first) {
    while (!reader.continued() && !reader.head_done() && readable_within(kConsentMilliseconds))
      if (receive_into(reader) == 0) return false;
  }
  std::vector<char> block(kUploadBlock);
  std::uint64_t total = 0;
  while (!reader.head_done()) {  // a server that has answered wants no more
    const auto n = (*outgoing.producer)(block);
    total += n;
    if (outgoing.length && (total > *outgoing.length || (n == 0 && total < *outgoing.length)))
      throw Error(Code::invalid, "the data to send changed its length meanwhile");
    std::string piece;
    if (!outgoing.length) {
      std::array<char, 20> digits;
      piece.assign(digits.data(), std::to_chars(digits.begin(), digits.end(), n, 16).ptr);
      piece += "\r\n";
    }
    bool alive = send(piece, std::string_view(block.data(), n));
    if (alive && !outgoing.length) alive = send("\r\n", {});
    if (!alive || n == 0) return alive;
    if (outgoing.length && total == *outgoing.length) return true;
    if (readable_within(0) && receive_into(reader) == 0) return false;
  }
  return false;
}

Answer Client::attempt(const Outgoing& outgoing, const OnChunk* on_chunk) {
  answer_began_ = connected_ = false;
  if (!wire_) wire_ = connect_();
  connected_ = true;
  Answer answer;
  bool wanted = true;
  const auto* on_head = outgoing.on_head;
  ResponseReader* current = nullptr;
  auto on_body = [&](std::string_view piece) {
    const bool failed = current->status() >= 400;
    if (on_chunk != nullptr && !failed) {
      if (const auto* told = std::exchange(on_head, nullptr)) (*told)(current->headers());
      if (wanted) wanted = (*on_chunk)(piece);
      return;
    }
    const auto limit = failed ? kLargestFailure : options_.largest_answer;
    if (answer.body.size() + piece.size() > limit)
      throw Error(Code::too_large, "the answer is larger than " + to_text(ByteSize(limit)));
    answer.body += piece;
  };
  ResponseReader reader(outgoing.method == "HEAD", on_body);
  current = &reader;

  bool sent = send(outgoing.head, outgoing.body);
  if (sent && outgoing.producer != nullptr) sent = send_produced(outgoing, reader);
  while (!reader.done() && wanted)
    if (receive_into(reader) == 0) reader.end_of_input();
  answer.status = reader.status();
  answer.headers = reader.headers();
  if (!wanted || !sent || !reader.keep_alive()) close();
  return answer;
}

Answer Client::answer_to(const Outgoing& outgoing, const OnChunk* on_chunk) {
  // Whatever an idle connection has to say, it is of no use any more: closed, most likely.
  if (wire_ && readable_within(0)) close();
  const bool kept = static_cast<bool>(wire_);
  auto once = [&] {
    try {
      return attempt(outgoing, on_chunk);
    } catch (Error& error) {
      close();
      const bool absent = error.code() == Code::unavailable || error.code() == Code::timeout;
      if (absent && error.lack() == Lack::nothing) error.for_lack_of(options_.absence);
      throw;
    } catch (...) {
      close();
      throw;
    }
  };
  std::optional<Answer> answer;
  try {
    answer = once();
  } catch (const Error& error) {
    const bool was_there = kept || (options_.may_restart && connected_);
    const bool closed_unheard = was_there && !answer_began_ && error.code() == Code::unavailable;
    if (!closed_unheard || !outgoing.repeatable) throw;
  }
  if (!answer) answer = once();
  return std::move(*answer);
}

Answer Client::exchange(const Outgoing& outgoing, const OnChunk* on_chunk) {
  auto answer = answer_to(outgoing, on_chunk);
  if (answer.status >= 400) throw error_from_response(answer.status, answer.body);
  return answer;
}

Client::Outgoing Client::outgoing(const Request& request) const {
  Outgoing outgoing(request.method, request.target, options_.host);
  for (const auto& [name, value] : request.headers) outgoing.add(name, value);
  outgoing.body = request.body;
  outgoing.producer = request.producer;
  outgoing.on_head = request.on_head;
  outgoing.repeatable = idempotent(request.method) && request.producer == nullptr;
  const auto size = static_cast<std::uint64_t>(request.body.size());
  outgoing.add_content(request.content_type, request.producer == nullptr ? std::optional(size) : std::nullopt);
  return outgoing;
}

Answer Client::ask(const Request& request) { return answer_to(outgoing(request), request.on_chunk); }

Answer Client::stream(const Request& request) { return exchange(outgoing(request), request.on_chunk); }

Answer Client::request(std::string_view method, std::string_view target, std::string_view body,
                       std::string_view content_type, Repeatable repeatable) {
  Outgoing outgoing(method, target, options_.host);
  outgoing.body = body;
  outgoing.repeatable = repeatable == Repeatable::yes || (repeatable == Repeatable::by_method && idempotent(method));
  outgoing.add_content(content_type, body.size());
  return exchange(outgoing, nullptr);
}

Answer Client::stream(std::string_view method, std::string_view target, const OnChunk& on_chunk, std::string_view body,
                      std::string_view content_type) {
  Outgoing outgoing(method, target, options_.host);
  outgoing.body = body;
  outgoing.repeatable = idempotent(method);
  outgoing.add_content(content_type, body.size());
  return exchange(outgoing, &on_chunk);
}

Answer Client::upload(std::string_view method, std::string_view target, std::optional<std::uint64_t> length,
                      const Producer& producer, std::string_view content_type) {
  Outgoing outgoing(method, target, options_.host);
  outgoing.producer = &producer;
  outgoing.length = length;
  outgoing.asks_first = !length || *length > kAskFirst;
  if (outgoing.asks_first) outgoing.add("Expect", "100-continue");
  outgoing.add_content(content_type, length);
  return exchange(outgoing, nullptr);
}

}  // namespace berth::http
