#pragma once

// A request as a handler sees it. Its body is not read until the handler asks for it.

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "runtime/async/task.hpp"
#include "runtime/base/units.hpp"
#include "runtime/http/allowance.hpp"
#include "runtime/http/headers.hpp"
#include "runtime/http/peer.hpp"
#include "runtime/http/target.hpp"
#include "runtime/os/fd.hpp"

namespace berth::async {
class Pool;
}

namespace berth::http {

// The bytes after the header. The first read answers "Expect: 100-continue". A read that makes no progress
// for the server's body_time throws Error(Code::timeout), as do reads that waited so long for a few kilobytes together;
// a client that goes away, Error(Code::io).
class Body {
 public:
  virtual ~Body() = default;
  // At least one byte; 0 at the end.
  virtual async::Task<std::size_t> read_some(std::span<char> buffer) = 0;
  // As announced by the client; nothing for a chunked body.
  virtual std::optional<std::uint64_t> length() const = 0;
};

// A body that is already in memory: for tests of handlers.
class MemoryBody : public Body {
 public:
  explicit MemoryBody(std::string content) : content_(std::move(content)) {}
  async::Task<std::size_t> read_some(std::span<char> buffer) override;
  std::optional<std::uint64_t> length() const override { return content_.size(); }

 private:
  std::string content_;
  std::size_t at_ = 0;
};

struct Request {
  explicit Request(Body& content) : body(content) {}

  std::string method;
  std::string path;  // as sent, without the query
  Query query;
  Query parameters;  // what the pattern's {names} matched, decoded
  Headers headers;
  Peer peer;
  Body& body;
  MemoryBudget::Share* memory = nullptr;  // what it may take; null: as much as it likes

  // Nothing where the query does not have it.
  std::optional<std::string_view> query_value(std::string_view name) const;
  // What matched {name} of the route's pattern; a name that is not in it is a defect.
  const std::string& parameter(std::string_view name) const;
  // Whether the client asks for this media type by name (Accept); wildcards and weights count for nothing.
  bool accepts(std::string_view media_type) const;

  // The whole body; Error(Code::too_large) above the limit, told before anything is read where the client
  // announced the length.
  async::Task<std::string> read_body(ByteSize limit);
  // Writes the body to a file, on the pool's threads; returns the number of bytes. The same limit. `before_piece` is
  // awaited before each piece, with the number of bytes that there are with it; what it throws ends the transfer.
  using BeforePiece = std::function<async::Task<>(std::uint64_t)>;
  async::Task<std::uint64_t> spool(async::Pool& pool, const os::Fd& into, ByteSize limit,
                                   BeforePiece before_piece = {});
};

}  // namespace berth::http
