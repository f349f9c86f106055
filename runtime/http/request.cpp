#include "runtime/http/request.hpp"

#include <algorithm>
#include <vector>

#include "runtime/async/offload.hpp"
#include "runtime/base/error.hpp"

namespace berth::http {
namespace {

Error too_large(ByteSize limit) {
  return Error(Code::too_large, "the request's body is larger than the " + to_text(limit) + " allowed here");
}

void check_announced(const Body& body, ByteSize limit) {
  if (const auto length = body.length(); length && *length > limit.bytes()) throw too_large(limit);
}

// Whether one of the media types of an Accept field, which are separated by commas, is this one.
bool names(std::string_view list, std::string_view media_type) {
  while (!list.empty()) {
    const auto each = list.substr(0, list.find(','));
    if (same_name(trimmed(each.substr(0, each.find(';'))), media_type)) return true;
    list.remove_prefix(std::min(each.size() + 1, list.size()));
  }
  return false;
}

}  // namespace

async::Task<std::size_t> MemoryBody::read_some(std::span<char> buffer) {
  const auto n = std::min(buffer.size(), content_.size() - at_);
  std::copy_n(content_.data() + at_, n, buffer.data());
  at_ += n;
  co_return n;
}

std::optional<std::string_view> Request::query_value(std::string_view name) const {
  const auto found = query.find(name);
  if (found == query.end()) return std::nullopt;
  return found->second;
}

const std::string& Request::parameter(std::string_view name) const {
  const auto found = parameters.find(name);
  if (found == parameters.end())
    throw Error(Code::internal, "no parameter " + std::string(name) + " in the pattern of " + path);
  return found->second;
}

bool Request::accepts(std::string_view media_type) const {
  return std::ranges::any_of(headers, [&](const Headers::Field& field) {
    return same_name(field.first, "Accept") && names(field.second, media_type);
  });
}

async::Task<std::string> Request::read_body(ByteSize limit) {
  constexpr std::size_t kStep = 16 << 10;
  constexpr std::size_t kLargestStep = 256 << 10;  // to fill it takes a moment of the loop
  constexpr std::size_t kLarge = 1 << 20;          // whose moving would take another
  check_announced(body, limit);
  std::string content;
  std::size_t size = 0;
  const auto most = std::min(body.length().value_or(limit.bytes()), limit.bytes()) + 1;
  // One byte more than announced, so that the read that sees the end needs no second step.
  content.resize(std::min<std::uint64_t>(body.length().value_or(kStep), kStep) + 1);
  while (true) {
    if (size == content.size()) {
      // Memory that nobody has touched costs nothing: room for the rest, for who has sent so much.
      if (size >= kLarge) content.reserve(most);
      const auto larger = std::min<std::uint64_t>(size + std::min(size, kLargestStep), most);
      if (memory != nullptr) memory->take(larger - size);
      content.resize(larger);
    }
    const auto n = co_await body.read_some(std::span(content).subspan(size));
    if (n == 0) break;
    size += n;
    if (size > limit.bytes()) throw too_large(limit);
  }
  content.resize(size);
  co_return content;
}

async::Task<std::uint64_t> Request::spool(async::Pool& pool, const os::Fd& into, ByteSize limit,
                                          BeforePiece before_piece) {
  constexpr std::size_t kStep = 256 << 10;
  check_announced(body, limit);
  std::vector<char> buffer(std::min<std::uint64_t>(body.length().value_or(kStep), kStep) + 1);
  std::uint64_t written = 0;
  while (true) {
    std::size_t filled = 0;
    while (filled < buffer.size()) {
      const auto n = co_await body.read_some(std::span(buffer).subspan(filled));
      if (n == 0) break;
      filled += n;
    }
    if (filled == 0) co_return written;
    if (written + filled > limit.bytes()) throw too_large(limit);
    if (before_piece) co_await before_piece(written + filled);
    const std::string_view piece(buffer.data(), filled);
    co_await async::offload(pool, [&into, piece] { os::write_all(into, piece); });
    written += filled;
  }
}

}  // namespace berth::http
